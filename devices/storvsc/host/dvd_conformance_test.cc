// The DVD drive's commands against protocol 10 section 7.2.
#include <memory>

#include "devices/storvsc/host/conformance_testing.h"
#include "devices/storvsc/host/ram_disk.h"

namespace vmbuskit {
namespace {

ConformanceEnd Illegal(uint8_t asc, uint8_t ascq = 0) { return Fails(0x84, {5, asc, ascq}); }
ConformanceEnd NoMedium(uint8_t ascq) { return Fails(0x84, {2, 0x3A, ascq}); }
ConformanceEnd BadValue() { return Fails(storvsc::kSrbInvalidRequest, {}); }
ConformanceEnd BadAllocation() {
  ConformanceEnd end = Fails(storvsc::kSrbDataOverrun, {});
  end.status = storvsc::kStatusDataOverrun;
  return end;
}

class DvdConformance : public ::testing::Test {
 protected:
  DvdConformance() {
    EXPECT_TRUE(guest_.vsp().Attach({}, disk_, {.unit = ScsiUnit::kDvd}).ok());
    guest_.Initialize();
  }
  void Check(const std::vector<ConformanceRow>& rows) {
    for (const ConformanceRow& row : rows) CheckRow(guest_, row);
  }

  // 0x400 blocks of 2048 bytes.
  std::shared_ptr<RamDisk> disk_ = std::make_shared<RamDisk>(RamDisk::Options{.bytes = 2u << 20});
  StorvspGuest guest_;
};

TEST_F(DvdConformance, ReadsInBlocksOf2048) {
  std::vector<std::byte> bytes(2048, std::byte{0x42});
  ASSERT_TRUE(disk_->Poke(3 * 2048, bytes));
  Check({
      {"READ CAPACITY", "25 00 00 00 00 00 00 00 00 00", 8, Ok(8), "00 00 03 ff 00 00 08 00"},
      {"READ 10", "28 00 00 00 00 03 00 00 01 00", 2048, Ok(2048), "42 42 42 42"},
      {"READ 12", "a8 00 00 00 03 ff 00 00 00 01 00 00", 2048, Ok(2048)},
      {"READ of 0 blocks", "28 00 00 00 00 03 00 00 00 00", 2048, Ok(0)},
      {"READ past the end", "28 00 00 00 04 00 00 00 01 00", 2048, Illegal(0x21)},
      {"READ into too little", "28 00 00 00 00 00 00 00 02 00", 2048, BadAllocation()},
      {"WRITE", "2a 00 00 00 00 03 00 00 01 00", 2048, Illegal(0x20)},
      {"READ 6", "08 00 00 00 01 00", 2048, Illegal(0x20)},
  });
}

TEST_F(DvdConformance, WhatItIs) {
  Check({
      {"INQUIRY", "12 00 00 00 24 00", 36, Ok(36),
       "05 80 00 02 1f 00 00 00 4d 73 66 74 20 20 20 20 56 69 72 74 75 61 6c 20 44 56 44 2d 52 4f "
       "4d 20 31 2e 30 20"},
      {"INQUIRY over buffer", "12 00 00 00 25 00", 36, BadAllocation()},
      {"VPD 00", "12 01 00 00 ff 00", 255, Ok(6), "05 00 00 02 00 83"},
      {"VPD 83", "12 01 83 00 ff 00", 255, Ok(32), "05 83 00 1c 01 01 00 18 4d 73 66 74"},
      {"VPD 80", "12 01 80 00 ff 00", 255, Illegal(0x24)},
      {"REQUEST SENSE", "03 00 00 00 12 00", 18, Ok(18), "70 00 00 00 00 00 00 0a"},
      {"GET CONFIGURATION", "46 00 00 00 00 00 00 00 ff 00", 255, Ok(96),
       "00 00 00 5c 00 00 00 10 00 00 03 08 00 10 01 00 00 08 00 00"},
      {"GET CONFIGURATION one", "46 02 01 05 00 00 00 00 ff 00", 255, Ok(16),
       "00 00 00 0c 00 00 00 10 01 05 07 04 01 00 02 00"},
      {"GET CONFIGURATION type 3", "46 03 00 00 00 00 00 00 ff 00", 255, BadValue()},
      {"MODE SENSE all", "5a 00 3f 00 00 00 00 00 ff 00", 255, Ok(44),
       "00 2a 00 00 00 00 00 00 01"},
      {"MODE SENSE 1A", "5a 00 1a 00 00 00 00 00 ff 00", 255, Ok(20), "00 12"},
      {"MODE SENSE 08", "5a 00 08 00 00 00 00 00 ff 00", 255, Illegal(0x24)},
      {"MODE SENSE saved", "5a 00 ff 00 00 00 00 00 ff 00", 255, Illegal(0x39)},
  });
}

TEST_F(DvdConformance, WhatTheMediumIs) {
  Check({
      {"TOC", "43 00 00 00 00 00 00 00 ff 00", 255, Ok(20),
       "08 02 01 01 00 14 01 00 00 00 00 00 00 14 aa 00 00 00 03 ff"},
      {"TOC MSF", "43 02 00 00 00 00 00 00 ff 00", 255, Ok(20),
       "08 02 01 01 00 14 01 00 00 00 02 00 00 14 aa 00 00 00 0f 30"},
      {"TOC format 1", "43 00 01 00 00 00 00 00 ff 00", 255, Ok(12),
       "00 0a 01 01 00 14 01 00 00 00 00 00"},
      {"TOC format 2", "43 00 02 00 00 00 00 00 ff 00", 255, Illegal(0x24)},
      {"TOC over buffer", "43 00 00 00 00 00 00 00 ff 00", 20, BadAllocation()},
      {"DISC", "51 00 00 00 00 00 00 00 ff 00", 255, Ok(42), "00 20 0e 01 01 01 01 20"},
      {"DISC type 1", "51 01 00 00 00 00 00 00 ff 00", 255, Illegal(0x24)},
      {"TRACK", "52 01 00 00 00 01 00 00 ff 00", 255, Ok(40),
       "00 2e 01 01 00 04 21 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 03 ff"},
      {"TRACK type 0", "52 00 00 00 00 01 00 00 ff 00", 255, Illegal(0x21)},
      {"TRACK 2", "52 01 00 00 00 02 00 00 ff 00", 255, Illegal(0x24)},
      {"TRACK type 3", "52 03 00 00 00 01 00 00 ff 00", 255, BadValue()},
      {"BUFFER CAPACITY", "5c 01 00 00 00 00 00 00 ff 00", 255, Ok(12), "00 0a 00 01"},
      {"MECHANISM", "bd 00 00 00 00 00 00 00 00 ff 00 00", 255, Ok(8), "00 00 00 00"},
      {"PERFORMANCE", "ac 10 00 00 00 00 00 00 00 01 00 00", 255, Ok(24),
       "00 00 00 10 00 00 00 00 00 00 00 00 00 00 7e 90 00 00 03 ff 00 00 7e 90"},
      {"PERFORMANCE write", "ac 14 00 00 00 00 00 00 00 01 00 00", 255, BadValue()},
      {"PERFORMANCE type 1", "ac 10 00 00 00 00 00 00 00 01 01 00", 255, Illegal(0x24)},
      {"STRUCTURE 0", "ad 00 00 00 00 00 00 00 00 ff 00 00", 255, Ok(21), "08 02 00 00 00 04"},
      {"STRUCTURE 3", "ad 00 00 00 00 00 00 03 00 ff 00 00", 255, BadValue()},
      {"STRUCTURE media type", "ad 01 00 00 00 00 00 00 00 ff 00 00", 255, Illegal(0x30, 2)},
      {"STREAMING short", "b6 00 00 00 00 00 00 00 00 00 1b 00", 28, Illegal(0x1A), "",
       storvsc::kDataOut},
      {"STREAMING", "b6 00 00 00 00 00 00 00 00 00 1c 00", 28, Ok(28), "", storvsc::kDataOut,
       "00 00 00 00 00 00 00 00 00 00 03 ff"},
      {"STREAMING past the end", "b6 00 00 00 00 00 00 00 00 00 1c 00", 28, BadValue(), "",
       storvsc::kDataOut, "00 00 00 00 00 00 00 00 00 00 04 00"},
      {"STREAMING restores defaults, more claimed than sent", "b6 00 00 00 00 00 00 00 00 00 ff 00",
       28, Ok(28), "", storvsc::kDataOut, "04 00 00 00 00 00 00 00 00 00 04 00"},
  });
}

TEST_F(DvdConformance, MediaEventsAndEject) {
  Check({
      {"immediate only", "4a 00 00 00 10 00 00 00 08 00", 8, Illegal(0x24)},
      {"removed", "4a 01 00 00 10 00 00 00 08 00", 8, Ok(8), "00 06 04 7e 03 01 00 00"},
      {"no medium meanwhile", "00 00 00 00 00 00", 0, NoMedium(2)},
      {"operational", "4a 01 00 00 02 00 00 00 08 00", 8, Ok(8), "00 06 01 7e 00 00 00 00"},
      {"new", "4a 01 00 00 10 00 00 00 08 00", 8, Ok(8), "00 06 04 7e 02 02 00 00"},
      {"present", "4a 01 00 00 10 00 00 00 08 00", 8, Ok(8), "00 06 04 7e 00 02 00 00"},
      {"no class", "4a 01 00 00 00 00 00 00 08 00", 8, Ok(4), "00 02 00 7e"},
      {"prevent", "1e 00 00 00 01 00", 0, Ok(0)},
      {"eject", "1b 00 00 00 02 00", 0, Illegal(0x53, 2)},
      {"allow", "1e 00 00 00 00 00", 0, Ok(0)},
      {"eject", "1b 00 00 00 02 00", 0, Ok(0)},
      {"tray open", "00 00 00 00 00 00", 0, NoMedium(2)},
      {"READ", "28 00 00 00 00 03 00 00 01 00", 2048, NoMedium(2)},
      {"removed", "4a 01 00 00 10 00 00 00 08 00", 8, Ok(8), "00 06 04 7e 03 01 00 00"},
      {"current features", "46 01 00 00 00 00 00 00 ff 00", 255, Ok(60), "00 00 00 38 00 00 00 00"},
      {"close", "1b 00 00 00 03 00", 0, Ok(0)},
      {"tray closed, empty", "00 00 00 00 00 00", 0, NoMedium(1)},
  });
}

}  // namespace
}  // namespace vmbuskit
