// Every command of a disk with good and bad parameters, against the table of protocol 10 section 7: srb_status,
// scsi_status, sense, NTSTATUS, bytes transferred, and the answer itself.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "devices/storvsc/host/conformance_testing.h"
#include "devices/storvsc/host/ram_disk.h"
#include "devices/storvsc/host/slow_disk.h"

namespace vmbuskit {
namespace {

constexpr uint8_t kOut = storvsc::kDataOut;
// The disk: 0x1000 blocks of 512 bytes.

class DiskConformance : public ::testing::Test {
 protected:
  void Attach(const DiskOptions& options = {}) {
    DiskOptions with_id = options;
    with_id.disk_id = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    ASSERT_TRUE(guest_.vsp().Attach({}, disk_, with_id).ok());
    guest_.Initialize();
  }
  void Check(const std::vector<ConformanceRow>& rows) {
    for (const ConformanceRow& row : rows) CheckRow(guest_, row);
  }

  std::shared_ptr<RamDisk> disk_ = std::make_shared<RamDisk>(RamDisk::Options{.bytes = 2u << 20});
  StorvspGuest guest_;
};

TEST_F(DiskConformance, CommandsWithoutData) {
  Attach();
  Check({
      {"TEST UNIT READY", "00 00 00 00 00 00", 0, Ok(0)},
      {"FORMAT UNIT", "04 00 00 00 00 00", 0, Ok(0)},
      {"RESERVE 6", "16 00 00 00 00 00", 0, Ok(0)},
      {"RELEASE 6", "17 00 00 00 00 00", 0, Ok(0)},
      {"PREVENT ALLOW", "1e 00 00 00 01 00", 0, Ok(0)},
      {"START", "1b 00 00 00 01 00", 0, Ok(0)},
      {"STOP", "1b 00 00 00 00 00", 0, Ok(0)},
      {"STOP immediate", "1b 01 00 00 00 00", 0, Ir(0x24)},
      {"SEND DIAGNOSTIC", "1d 04 00 00 00 00", 0, Ok(0)},
      {"SEND DIAGNOSTIC PF", "1d 10 00 00 00 00", 0, Ir(0x24)},
      {"SEND DIAGNOSTIC test code", "1d 20 00 00 00 00", 0, Ir(0x24)},
      {"SEND DIAGNOSTIC with a list", "1d 00 00 00 04 00", 0, Ir(0x24)},
      {"SYNCHRONIZE CACHE 10", "35 00 00 00 00 00 00 00 00 00", 0, Ok(0)},
      {"SYNCHRONIZE CACHE 16", "91 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", 0, Ok(0)},
      {"unknown 6", "02 00 00 00 00 00", 0, Ir(0x20)},
      {"unknown vendor", "ff 00 00 00 00 00", 0, Ir(0x20)},
      {"MAINTENANCE IN", "a3 0c 00 00 00 00 00 00 00 00 00 00", 0, Ir(0x20)},
  });
}

TEST_F(DiskConformance, ReadAndWrite) {
  Attach();
  Check({
      {"READ 6", "08 00 00 01 02 00", 1024, Ok(1024)},
      {"READ 6 of 0 blocks is not 256", "08 00 00 00 00 00", 512, Ir(0x21)},
      {"READ 6 past the end", "08 00 10 00 01 00", 512, Ir(0x21)},
      {"READ 6 high bits count", "08 e0 00 00 01 00", 512, Ir(0x21)},
      {"WRITE 6", "0a 00 0f ff 01 00", 512, Ok(512), "", kOut},
      {"READ 10", "28 00 00 00 00 08 00 00 08 00", 4096, Ok(4096)},
      {"READ 10 larger buffer", "28 00 00 00 00 08 00 00 01 00", 4096, Ok(512)},
      {"READ 10 FUA DPO", "28 18 00 00 00 08 00 00 08 00", 4096, Ok(4096)},
      {"READ 10 of 0 blocks", "28 00 00 00 00 08 00 00 00 00", 512, Ir(0x21)},
      {"READ 10 small buffer", "28 00 00 00 00 00 00 00 09 00", 4096, Ir(0x21)},
      {"READ 10 RELADR", "28 01 00 00 00 00 00 00 08 00", 4096, Ir(0x24)},
      {"READ 10 at the end", "28 00 00 00 10 00 00 00 01 00", 512, Ir(0x21)},
      {"READ 10 over the end", "28 00 00 00 0f ff 00 00 02 00", 1024, Ir(0x21)},
      {"READ 10 without room to write", "28 00 00 00 00 00 00 00 01 00", 512, Ir(0x24), "", kOut},
      {"WRITE 10 FUA", "2a 08 00 00 00 08 00 00 01 00", 512, Ok(512), "", kOut},
      {"WRITE 10 RELADR", "2a 01 00 00 00 00 00 00 01 00", 512, Ir(0x24), "", kOut},
      {"READ 12", "a8 00 00 00 00 08 00 00 00 01 00 00", 512, Ok(512)},
      {"READ 12 huge count", "a8 00 00 00 00 00 ff ff ff ff 00 00", 512, Ir(0x21)},
      {"READ 12 RELADR", "a8 01 00 00 00 00 00 00 00 01 00 00", 512, Ir(0x24)},
      {"WRITE 12", "aa 00 00 00 00 08 00 00 00 01 00 00", 512, Ok(512), "", kOut},
      {"READ 16", "88 00 00 00 00 00 00 00 0f ff 00 00 00 01 00 00", 512, Ok(512)},
      {"READ 16 bit 0 is no RELADR", "88 01 00 00 00 00 00 00 00 00 00 00 00 01 00 00", 512,
       Ok(512)},
      {"READ 16 LBA wraps", "88 00 ff ff ff ff ff ff ff ff 00 00 00 02 00 00", 1024, Ir(0x21)},
      {"READ 16 LBA times 512 wraps", "88 00 00 80 00 00 00 00 00 00 00 00 00 01 00 00", 512,
       Ir(0x21)},
      {"WRITE 16 over the end", "8a 00 00 00 00 00 00 00 0f ff 00 00 00 02 00 00", 1024, Ir(0x21),
       "", kOut},
  });
}

TEST_F(DiskConformance, InquiryAndVitalPages) {
  Attach({.serial = "SN42", .unmap = true});
  Check({
      {"standard", "12 00 00 00 24 00", 36, Ok(36),
       "00 00 05 02 63 00 00 02 4d 73 66 74 20 20 20 20 56 69 72 74 75 61 6c 20 44 69 73 6b 20 20 "
       "20 20 31 2e 30 20"},
      {"whole", "12 00 00 00 ff 00", 255, Ok(104)},
      {"allocation over buffer", "12 00 00 00 25 00", 36, Ir(0x24)},
      {"allocation of 4", "12 00 00 00 04 00", 36, Ir(0x24)},
      {"CmdDt", "12 02 00 00 24 00", 36, Ir(0x24)},
      {"page without EVPD", "12 00 80 00 24 00", 36, Ir(0x24)},
      {"VPD allocation of 3", "12 01 00 00 03 00", 36, Ir(0x24)},
      {"VPD unknown", "12 01 c0 00 24 00", 36, Ir(0x24)},
      {"VPD 8F is off", "12 01 8f 00 24 00", 36, Ir(0x24)},
      {"VPD 00", "12 01 00 00 ff 00", 255, Ok(12), "00 00 00 08 00 80 83 b0 b1 b2 ce cf"},
      {"VPD 80", "12 01 80 00 ff 00", 255, Ok(8), "00 80 00 04 53 4e 34 32"},
      {"VPD 83", "12 01 83 00 ff 00", 255, Ok(52),
       "00 83 00 30 01 01 00 18 4d 73 66 74 20 20 20 20 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d "
       "0e 0f 01 03 00 10 60 02 24 80 00 01 02 03 04 05 0a 0b 0c 0d 0e 0f"},
      {"VPD 83 cut", "12 01 83 00 04 00", 255, Ok(4), "00 83 00 30"},
      {"VPD B0", "12 01 b0 00 ff 00", 255, Ok(64),
       "00 b0 00 3c 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00 10 00 00 00 "
       "00 01 80 00 00 00 00 00 00 00 00 00 40 00"},
      {"VPD B1", "12 01 b1 00 ff 00", 255, Ok(64), "00 b1 00 3c 00 01 00 00"},
      {"VPD B2", "12 01 b2 00 ff 00", 255, Ok(8), "00 b2 00 04 01 80 02 00"},
      {"VPD CE", "12 01 ce 00 ff 00", 255, Ok(8), "00 ce 00 04 01 01 00 00"},
      {"VPD CF", "12 01 cf 00 ff 00", 255, Ok(24),
       "00 cf 00 14 01 00 00 00 15 8f a9 89 28 c9 8b 4d 94 cd ef 51 fa a9 9d 33"},
  });
}

TEST_F(DiskConformance, PagesThatAreNotThere) {
  Attach({.unmap = false});
  Check({
      {"VPD 00", "12 01 00 00 ff 00", 255, Ok(8), "00 00 00 04 00 83 ce cf"},
      {"VPD 80", "12 01 80 00 ff 00", 255, Ir(0x24)},
      {"VPD B0", "12 01 b0 00 ff 00", 255, Ir(0x24)},
      {"VPD B1", "12 01 b1 00 ff 00", 255, Ir(0x24)},
      {"VPD B2", "12 01 b2 00 ff 00", 255, Ir(0x24)},
      {"UNMAP", "42 00 00 00 00 00 00 00 08 00", 8, Ir(0x24), "", kOut, "00 06 00 00 00 00 00 00"},
      {"GET LBA STATUS", "9e 12 00 00 00 00 00 00 00 00 00 00 00 18 00 00", 24, Ir(0x20)},
  });
}

TEST_F(DiskConformance, Capacity) {
  Attach();
  Check({
      {"READ CAPACITY 10", "25 00 00 00 00 00 00 00 00 00", 8, Ok(8), "00 00 0f ff 00 00 02 00"},
      {"READ CAPACITY 10 short", "25 00 00 00 00 00 00 00 00 00", 7, Overrun()},
      {"READ CAPACITY 16", "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", 32, Ok(32),
       "00 00 00 00 00 00 0f ff 00 00 02 00 00 03 80 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
       "00 00"},
      {"READ CAPACITY 16 of 12", "9e 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00", 12, Ok(12)},
      {"READ CAPACITY 16 short", "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", 11, Overrun()},
      {"another action", "9e 11 00 00 00 00 00 00 00 00 00 00 00 20 00 00", 32, Ir(0x24)},
  });
}

TEST_F(DiskConformance, CapacityChangeIsToldOnceAndNotByInquiry) {
  Attach();
  disk_->Resize(4u << 20);
  Check({
      {"INQUIRY", "12 00 00 00 24 00", 36, Ok(36)},
      {"TEST UNIT READY", "00 00 00 00 00 00", 0, Fails(0x84, {6, 0x2A, 9})},
      {"READ CAPACITY 10", "25 00 00 00 00 00 00 00 00 00", 8, Ok(8), "00 00 1f ff 00 00 02 00"},
  });
  disk_->Resize(2u << 20);
  Check({
      {"REQUEST SENSE", "03 00 00 00 12 00", 18, Ok(18),
       "70 00 06 00 00 00 00 0a 00 00 00 00 2a 09 00 00 00 00"},
      {"TEST UNIT READY", "00 00 00 00 00 00", 0, Ok(0)},
  });
}

TEST_F(DiskConformance, RequestSenseGivesTheLastSenseOnce) {
  Attach();
  Check({
      {"nothing", "03 00 00 00 12 00", 18, Ok(18), "70 00 00 00 00 00 00 0a 00 00 00 00 00 00"},
      {"a failure", "ff 00 00 00 00 00", 0, Ir(0x20)},
      {"it", "03 00 00 00 12 00", 18, Ok(18), "70 00 05 00 00 00 00 0a 00 00 00 00 20 00"},
      {"once", "03 00 00 00 12 00", 18, Ok(18), "70 00 00 00 00 00 00 0a 00 00 00 00 00 00"},
      {"a failure", "ff 00 00 00 00 00", 0, Ir(0x20)},
      {"a success clears it", "00 00 00 00 00 00", 0, Ok(0)},
      {"cut", "03 00 00 00 08 00", 18, Ok(8), "70 00 00 00 00 00 00 0a"},
      {"too short", "03 00 00 00 07 00", 18, Ir(0x24)},
      {"over buffer", "03 00 00 00 13 00", 18, Ir(0x24)},
  });
}

TEST_F(DiskConformance, ModePages) {
  Attach({.write_cache = true});
  Check({
      {"6 caching", "1a 00 08 00 ff 00", 255, Ok(16),
       "0f 00 10 00 08 0a 04 00 00 00 00 00 00 00 00 00"},
      {"6 all", "1a 08 3f 00 10 00", 16, Ok(16)},
      {"6 changeable", "1a 00 48 00 10 00", 16, Ok(16),
       "0f 00 10 00 08 0a 00 00 00 00 00 00 00 00 00 00"},
      {"6 default", "1a 00 88 00 07 00", 16, Ok(7), "0f 00 10 00 08 0a 04"},
      {"6 saved", "1a 00 c8 00 10 00", 16, Ir(0x24)},
      {"6 page 1C", "1a 00 1c 00 10 00", 16, Ir(0x24)},
      {"6 allocation 0", "1a 00 08 00 00 00", 16, Ok(0)},
      {"6 no buffer", "1a 00 08 00 10 00", 0, Ok(0)},
      {"6 below its header", "1a 00 08 00 03 00", 16, Ir(0x24)},
      {"6 over buffer", "1a 00 08 00 11 00", 16, Ir(0x24)},
      {"10 caching", "5a 00 08 00 00 00 00 00 14 00", 20, Ok(20),
       "00 12 00 10 00 00 00 00 08 0a 04 00 00 00 00 00 00 00 00 00"},
      {"10 below its header", "5a 00 08 00 00 00 00 00 07 00", 20, Ir(0x24)},
      {"SELECT 6 of nothing", "15 10 00 00 00 00", 0, Ok(0)},
      {"SELECT 6", "15 10 00 00 10 00", 16, Ok(16), "", kOut,
       "00 00 00 00 08 0a 04 00 00 00 00 00 00 00 00 00"},
      {"SELECT 6 behind a block descriptor", "15 10 00 00 18 00", 24, Ok(24), "", kOut,
       "00 00 00 08 00 00 00 00 00 00 02 00 08 0a 04 00 00 00 00 00 00 00 00 00"},
      {"SELECT 6 block descriptor too long", "15 10 00 00 10 00", 16, Ir(0x1A), "", kOut,
       "00 00 00 08 08 0a 04 00 00 00 00 00 00 00 00 00"},
      {"SELECT 6 cache off", "15 10 00 00 10 00", 16, Ir(0x26), "", kOut,
       "00 00 00 00 08 0a 00 00 00 00 00 00 00 00 00 00"},
      {"SELECT 6 another page", "15 10 00 00 10 00", 16, Ir(0x26), "", kOut,
       "00 00 00 00 1c 0a 04 00 00 00 00 00 00 00 00 00"},
      {"SELECT 6 to be saved", "15 11 00 00 10 00", 16, Ir(0x24), "", kOut,
       "00 00 00 00 08 0a 04 00 00 00 00 00 00 00 00 00"},
      {"SELECT 6 short", "15 10 00 00 0f 00", 15, Ir(0x1A), "", kOut,
       "00 00 00 00 08 0a 04 00 00 00 00 00 00 00 00"},
      {"SELECT 6 not the buffer", "15 10 00 00 10 00", 20, Ir(0x1A), "", kOut},
      {"SELECT 10", "55 10 00 00 00 00 00 00 14 00", 20, Ok(20), "", kOut,
       "00 00 00 00 00 00 00 00 08 0a 04 00 00 00 00 00 00 00 00 00"},
  });
}

TEST_F(DiskConformance, AReadOnlyDiskSaysSo) {
  Attach({.read_only = true});
  Check({
      {"mode", "1a 00 08 00 10 00", 16, Ok(16), "0f 00 90 00 08 0a 00"},
      {"WRITE", "2a 00 00 00 00 08 00 00 01 00", 512, Fails(0x84, {7, 0x27, 0}), "", kOut},
      {"range first", "2a 00 00 00 10 00 00 00 01 00", 512, Ir(0x21), "", kOut},
      {"WRITE SAME", "41 00 00 00 00 00 00 00 01 00", 512, Fails(0x84, {7, 0x27, 0}), "", kOut},
      {"WRITE AND VERIFY", "2e 00 00 00 00 00 00 00 01 00", 512, Fails(0x84, {7, 0x27, 0}), "",
       kOut},
      {"UNMAP", "42 00 00 00 00 00 00 00 08 00", 8, Ir(0x24), "", kOut, "00 06 00 00 00 00 00 00"},
      {"READ", "28 00 00 00 00 08 00 00 01 00", 512, Ok(512)},
  });
}

TEST_F(DiskConformance, WriteSameRepeatsOneBlock) {
  Attach();
  const std::string sector = PatternHex(512, 7);
  Check({
      {"10", "41 00 00 00 00 10 00 00 80 00", 512, Ok(128 * 512), "", kOut, sector},
      {"there", "28 00 00 00 00 8f 00 00 01 00", 512, Ok(512), sector},
      {"not before", "28 00 00 00 00 0f 00 00 01 00", 512, Ok(512), "00 00 00 00"},
      {"not behind", "28 00 00 00 00 90 00 00 01 00", 512, Ok(512), "00 00 00 00"},
      {"16, 1 MiB", "93 00 00 00 00 00 00 00 00 00 00 00 08 00 00 00", 512, Ok(0x800 * 512), "",
       kOut, sector},
      {"there", "28 00 00 00 07 ff 00 00 01 00", 512, Ok(512), sector},
      {"zeros with UNMAP", "93 08 00 00 00 00 00 00 00 00 00 00 08 00 00 00", 512, Ok(0x800 * 512),
       "", kOut, PatternHex(512, 0, 0)},
      {"zeros", "28 00 00 00 07 ff 00 00 01 00", 512, Ok(512), PatternHex(512, 0, 0)},
      {"of 0 blocks", "41 00 00 00 00 10 00 00 00 00", 512, Ok(0), "", kOut},
      {"RELADR", "41 01 00 00 10 00 00 00 01 00", 512, Ir(0x24), "", kOut},
      {"at the end", "41 00 00 00 10 00 00 00 00 00", 512, Ir(0x21), "", kOut},
      {"less than a block", "41 00 00 00 00 10 00 00 01 00", 511, Ir(0x24), "", kOut},
      {"no data", "41 00 00 00 00 10 00 00 01 00", 0, Ir(0x24), "", kOut},
  });
}

TEST_F(DiskConformance, WriteSameHasALimit) {
  Attach({.write_same_bytes_max = 4096});
  Check({
      {"at it", "41 00 00 00 00 10 00 00 08 00", 512, Ok(4096), "", kOut},
      {"above", "41 00 00 00 00 10 00 00 09 00", 512, Ir(0x21), "", kOut},
  });
}

TEST_F(DiskConformance, Verification) {
  Attach();
  const std::string data = PatternHex(1024, 3);
  Check({
      {"VERIFY 10", "2f 00 00 00 00 10 00 00 08 00", 0, Ok(0)},
      {"VERIFY 12", "af 00 00 00 00 10 00 00 00 08 00 00", 0, Ok(0)},
      {"VERIFY 16", "8f 00 00 00 00 00 00 00 00 10 00 00 00 08 00 00", 0, Ok(0)},
      {"VERIFY 10 RELADR", "2f 01 00 00 00 10 00 00 08 00", 0, Ir(0x24)},
      {"VERIFY 10 past the end", "2f 00 00 00 0f ff 00 00 02 00", 0, Ir(0x21)},
      {"VERIFY 10 at the end", "2f 00 00 00 10 00 00 00 00 00", 0, Ir(0x21)},
      {"WRITE AND VERIFY 10", "2e 00 00 00 00 20 00 00 02 00", 1024, Ok(1024), "", kOut, data},
      {"it wrote", "28 00 00 00 00 20 00 00 02 00", 1024, Ok(1024), data},
      {"with BYTCHK", "ae 02 00 00 00 30 00 00 00 02 00 00", 1024, Ok(1024), "", kOut, data},
      {"16", "8e 00 00 00 00 00 00 00 00 40 00 00 00 02 00 00", 1024, Ok(1024), "", kOut, data},
      {"VERIFY BYTCHK same", "2f 02 00 00 00 30 00 00 02 00", 1024, Ok(1024), "", kOut, data},
      {"VERIFY BYTCHK other", "2f 02 00 00 00 00 00 00 02 00", 1024, Fails(0x84, {0xE, 0x1D, 0}),
       "", kOut, data},
      {"VERIFY BYTCHK 2", "2f 04 00 00 00 00 00 00 02 00", 1024, Ir(0x24), "", kOut, data},
      {"WRITE AND VERIFY RELADR", "2e 01 00 00 00 20 00 00 02 00", 1024, Ir(0x24), "", kOut},
      {"WRITE AND VERIFY over the end", "2e 00 00 00 0f ff 00 00 02 00", 1024, Ir(0x21), "", kOut},
  });
}

TEST_F(DiskConformance, UnmapAndLbaStatus) {
  Attach();
  const std::string all = PatternHex(512, 1);
  Check({
      {"fill", "93 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00", 512, Ok(0x1000 * 512), "", kOut,
       all},
      {"status", "9e 12 00 00 00 00 00 00 00 10 00 00 00 28 00 00", 40, Ok(24),
       "00 00 00 14 00 00 00 00 00 00 00 00 00 00 00 10 00 00 0f f0 00 00 00 00"},
      {"no descriptor", "42 00 00 00 00 00 00 00 08 00", 8, Ok(0), "", kOut,
       "00 06 00 00 00 00 00 00"},
      {"two", "42 00 00 00 00 00 00 00 28 00", 40, Ok(0), "", kOut,
       "00 26 00 20 00 00 00 00 00 00 00 00 00 00 00 80 00 00 00 80 00 00 00 00 "
       "00 00 00 00 00 00 01 80 00 00 00 80 00 00 00 00"},
      {"unmapped", "28 00 00 00 00 80 00 00 01 00", 512, Ok(512), PatternHex(512, 0, 0)},
      {"not between", "28 00 00 00 01 00 00 00 01 00", 512, Ok(512), all},
      {"status of both", "9e 12 00 00 00 00 00 00 00 80 00 00 00 38 00 00", 56, Ok(56),
       "00 00 00 34 00 00 00 00 00 00 00 00 00 00 00 80 00 00 00 80 01 00 00 00 00 00 00 00 00 00 "
       "01 00 00 00 00 80 00 00 00 00 00 00 00 00 00 00 01 80 00 00 00 80 01 00 00 00"},
      {"the first of two is done", "42 00 00 00 00 00 00 00 28 00", 40, Ir(0x21), "", kOut,
       "00 26 00 20 00 00 00 00 00 00 00 00 00 00 02 80 00 00 00 80 00 00 00 00 "
       "00 00 00 00 00 00 0f ff 00 00 00 02 00 00 00 00"},
      {"done", "28 00 00 00 02 80 00 00 01 00", 512, Ok(512), PatternHex(512, 0, 0)},
      {"LBA wraps", "42 00 00 00 00 00 00 00 18 00", 24, Ir(0x21), "", kOut,
       "00 16 00 10 00 00 00 00 ff ff ff ff ff ff ff ff 00 00 00 02 00 00 00 00"},
      {"list length below 8", "42 00 00 00 00 00 00 00 07 00", 7, Ir(0x24), "", kOut},
      {"list is not the buffer", "42 00 00 00 00 00 00 00 08 00", 24, Ir(0x24), "", kOut},
      {"data length", "42 00 00 00 00 00 00 00 18 00", 24, Ir(0x24), "", kOut,
       "00 17 00 10 00 00 00 00"},
      {"descriptor length", "42 00 00 00 00 00 00 00 18 00", 24, Ir(0x00), "", kOut,
       "00 16 00 11 00 00 00 00"},
      {"status past the end", "9e 12 00 00 00 00 00 00 10 00 00 00 00 18 00 00", 24, Ir(0x21)},
      {"status: not the buffer", "9e 12 00 00 00 00 00 00 00 00 00 00 00 18 00 00", 32, Ir(0x24)},
      {"status: nothing", "9e 12 00 00 00 00 00 00 00 00 00 00 00 00 00 00", 0, Ok(0)},
      {"status: too little", "9e 12 00 00 00 00 00 00 00 00 00 00 00 17 00 00", 23, Ir(0x24)},
  });
}

// What a back end says, as sense.
TEST_F(DiskConformance, BackEndErrors) {
  auto slow = std::make_shared<SlowDisk>(RamDisk::Options{.bytes = 2u << 20});
  ASSERT_TRUE(guest_.vsp().Attach({.lun = 1}, slow).ok());
  guest_.Initialize();
  auto fail = [&](const char* cdb, uint8_t direction, BlockResult result) {
    RecordingRequest& request = guest_.StartScsi(
        {.cdb = CdbOf(cdb), .bytes = 512, .direction = direction, .address = {.lun = 1}});
    guest_.Run();
    EXPECT_EQ(slow->waiting(), 1u);
    {
      const SimTurn turn = guest_.sim().Enter(guest_.host_executor());
      slow->End(result);
    }
    guest_.Run();
    return EndOf(StorvspGuest::ReplyOf(request));
  };
  const char* const kRead = "28 00 00 00 00 00 00 00 01 00";
  const char* const kWrite = "2a 00 00 00 00 00 00 00 01 00";
  const char* const kFlush = "35 00 00 00 00 00 00 00 00 00";
  const uint8_t in = storvsc::kDataIn;
  EXPECT_EQ(fail(kRead, in, BlockResult::kMediumError), Fails(0x84, {3, 0x11, 0}));
  EXPECT_EQ(fail(kWrite, kOut, BlockResult::kMediumError), Fails(0x84, {3, 0x03, 0}));
  EXPECT_EQ(fail(kFlush, in, BlockResult::kMediumError), Fails(0x84, {3, 0, 0}));
  EXPECT_EQ(fail(kRead, in, BlockResult::kOutOfRange), Fails(0x84, {5, 0x21, 0}));
  EXPECT_EQ(fail(kWrite, kOut, BlockResult::kReadOnly), Fails(0x84, {7, 0x27, 0}));
  EXPECT_EQ(fail(kWrite, kOut, BlockResult::kNoSpace), Fails(0x84, {7, 0x27, 7}));
  EXPECT_EQ(fail(kRead, in, BlockResult::kInvalid), Ir(0x24));
  EXPECT_EQ(fail(kRead, in, BlockResult::kNotSupported), Ir(0x20));
  EXPECT_EQ(fail(kRead, in, BlockResult::kGone), Fails(0x84, {4, 0x44, 0}));
  ConformanceEnd conflict = Fails(0x04, {});
  conflict.scsi_status = scsi::kReservationConflict;
  EXPECT_EQ(fail(kRead, in, BlockResult::kConflict), conflict);
  ConformanceEnd aborted = Fails(0x82, {0xB, 0, 0});
  aborted.scsi_status = scsi::kTaskAborted;
  aborted.status = storvsc::kStatusCancelled;
  EXPECT_EQ(fail(kRead, in, BlockResult::kAborted), aborted);
  ConformanceEnd timed_out = Fails(0x09, {});
  timed_out.status = storvsc::kStatusIoTimeout;
  EXPECT_EQ(fail(kRead, in, BlockResult::kTimedOut), timed_out);
}

// Write, then flush, when the back end has a cache and no FUA; never a flush when it is told to write through itself.
TEST_F(DiskConformance, DurableWritesAreFlushedWhereTheBackEndNeedsIt) {
  auto slow = std::make_shared<SlowDisk>(RamDisk::Options{.bytes = 2u << 20});
  slow->mutable_info().volatile_cache = true;
  slow->mutable_info().force_unit_access = false;
  ASSERT_TRUE(guest_.vsp().Attach({.lun = 1}, slow).ok());
  ASSERT_TRUE(guest_.vsp().Attach({.lun = 2}, slow, {.write_cache = false}).ok());
  guest_.Initialize();
  auto steps = [&](const char* cdb, uint8_t lun) {
    std::string operations;
    RecordingRequest& request = guest_.StartScsi(
        {.cdb = CdbOf(cdb), .bytes = 512, .direction = kOut, .address = {.lun = lun}});
    guest_.Run();
    while (slow->waiting() != 0) {
      operations += std::string(ToString(slow->oldest().operation)) +
                    (slow->oldest().force_unit_access ? " fua " : " ");
      const SimTurn turn = guest_.sim().Enter(guest_.host_executor());
      slow->End();
    }
    guest_.Run();
    EXPECT_EQ(EndOf(StorvspGuest::ReplyOf(request)), Ok(512));
    return operations;
  };
  EXPECT_EQ(steps("2a 00 00 00 00 00 00 00 01 00", 1), "write ");
  EXPECT_EQ(steps("2a 08 00 00 00 00 00 00 01 00", 1), "write flush ");
  EXPECT_EQ(steps("2a 00 00 00 00 00 00 00 01 00", 2), "write flush ");
  EXPECT_EQ(steps("2e 00 00 00 00 00 00 00 01 00", 1), "write flush read ");
  slow->mutable_info().force_unit_access = true;
  EXPECT_EQ(steps("2a 08 00 00 00 00 00 00 01 00", 1), "write fua ");
  EXPECT_EQ(steps("2a 00 00 00 00 00 00 00 01 00", 2), "write fua ");
}

TEST_F(DiskConformance, SectorsOf4096) {
  Attach({.sector_bytes = 4096});
  Check({
      {"READ CAPACITY 10", "25 00 00 00 00 00 00 00 00 00", 8, Ok(8), "00 00 01 ff 00 00 10 00"},
      {"READ", "28 00 00 00 01 ff 00 00 01 00", 4096, Ok(4096)},
      {"READ past the end", "28 00 00 00 02 00 00 00 01 00", 4096, Ir(0x21)},
      {"READ into too little", "28 00 00 00 00 00 00 00 01 00", 512, Ir(0x21)},
  });
  EXPECT_FALSE(guest_.vsp().Attach({.lun = 1}, disk_, {.sector_bytes = 256}).ok());
  EXPECT_FALSE(guest_.vsp().Attach({.lun = 1}, disk_, {.sector_bytes = 3000}).ok());
  // WRITE SAME repeats a sector in a buffer of 64 KiB.
  EXPECT_FALSE(guest_.vsp().Attach({.lun = 1}, disk_, {.sector_bytes = 128 << 10}).ok());
  EXPECT_TRUE(guest_.vsp().Attach({.lun = 1}, disk_, {.sector_bytes = 64 << 10}).ok());
}

}  // namespace
}  // namespace vmbuskit
