// A storvsp from the guest's side of the ring: initialization, commands, and what is wrong with them.
#include "devices/storvsc/host/storvsp.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "devices/storvsc/host/ram_disk.h"
#include "devices/storvsc/host/storvsp_testing.h"
#include "framework/base/hex.h"

namespace vmbuskit {
namespace {

using storvsc::kStatusInvalidDeviceState;
using storvsc::kStatusInvalidParameter;

class StorvspTest : public ::testing::Test {
 protected:
  void Attach(const BlockAddress& address = {}) {
    ASSERT_TRUE(guest_.vsp().Attach(address, disk_).ok());
  }

  std::shared_ptr<RamDisk> disk_ = std::make_shared<RamDisk>(RamDisk::Options{.bytes = 2u << 20});
  StorvspGuest guest_;
};

TEST_F(StorvspTest, InitializesStepByStepAndRefusesEveryStepOutOfTurn) {
  guest_.Open();
  EXPECT_EQ(guest_.DoOperation(storvsc::kEndInitialization).status(), kStatusInvalidDeviceState);
  EXPECT_EQ(guest_.DoOperation(storvsc::kQueryProtocolVersion, 0x0602).status(),
            kStatusInvalidDeviceState);
  EXPECT_EQ(guest_.Do({.cdb = {0, 0, 0, 0, 0, 0}}).status(), kStatusInvalidDeviceState);
  EXPECT_EQ(guest_.DoOperation(storvsc::kBeginInitialization).status(), 0u);
  EXPECT_EQ(guest_.DoOperation(storvsc::kBeginInitialization).status(), kStatusInvalidDeviceState);
  for (const uint16_t unknown : {0x0601, 0x0701, 0x0000, 0x0500}) {
    const ScsiReply reply = guest_.DoOperation(storvsc::kQueryProtocolVersion, unknown);
    EXPECT_EQ(reply.status(), storvsc::kStatusRevisionMismatch);
    EXPECT_EQ(reply.packet.body.length, unknown) << "echoed";
  }
  EXPECT_EQ(guest_.DoOperation(storvsc::kQueryProperties).status(), kStatusInvalidDeviceState);
  EXPECT_EQ(guest_.DoOperation(storvsc::kQueryProtocolVersion, 0x0602).status(), 0u);
  EXPECT_EQ(guest_.DoOperation(storvsc::kCreateSubchannels, 1).status(), kStatusInvalidDeviceState);
  const ScsiReply properties = guest_.DoOperation(storvsc::kQueryProperties);
  EXPECT_EQ(ToHex(BytesOf(properties.packet).first(36)),
            ToHex(FromHex("01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
                          " 40 00 00 00 01 00 00 00 00 00 04 00 00 00 00 00 00 00 00 00")));
  EXPECT_EQ(guest_.DoOperation(storvsc::kEndInitialization).status(), 0u);
  EXPECT_EQ(guest_.DoOperation(storvsc::kEndInitialization).status(), kStatusInvalidDeviceState);
}

TEST_F(StorvspTest, AnOldGuestGetsShortPacketsAndNoSubchannels) {
  Attach();
  guest_.Open();
  const size_t bytes = storvsc::kOldPacketBytes;
  EXPECT_EQ(guest_.DoOperation(storvsc::kBeginInitialization, 0, 0, bytes).bytes, bytes);
  EXPECT_EQ(guest_.DoOperation(storvsc::kQueryProtocolVersion, 0x0200, 0, bytes).status(), 0u);
  const ScsiReply properties = guest_.DoOperation(storvsc::kQueryProperties, 0, 0, bytes);
  storvsc::ChannelProperties read;
  std::memcpy(&read, &properties.packet.body, sizeof read);
  EXPECT_EQ(read.max_channel_count, 0u);
  EXPECT_EQ(read.flags, 0u);
  EXPECT_EQ(guest_.DoOperation(storvsc::kCreateSubchannels, 0, 0, bytes).status(),
            kStatusInvalidDeviceState);
  EXPECT_EQ(guest_.DoOperation(storvsc::kEndInitialization, 0, 0, bytes).status(), 0u);
  const ScsiReply ready =
      guest_.DoPacket(StorvspGuest::PacketOf({.cdb = {0, 0, 0, 0, 0, 0}}), 0, bytes);
  EXPECT_EQ(ready.bytes, bytes);
  EXPECT_EQ(ready.srb_status(), storvsc::kSrbSuccess);
}

TEST_F(StorvspTest, SubchannelsAreOfferedBeforeAndAfterTheEnd) {
  guest_.Open();
  (void)guest_.DoOperation(storvsc::kBeginInitialization);
  (void)guest_.DoOperation(storvsc::kQueryProtocolVersion, 0x0602);
  (void)guest_.DoOperation(storvsc::kQueryProperties);
  EXPECT_EQ(guest_.DoOperation(storvsc::kCreateSubchannels, 65).status(), kStatusInvalidParameter);
  EXPECT_EQ(guest_.context().subchannels_offered, 0u);
  EXPECT_EQ(guest_.DoOperation(storvsc::kCreateSubchannels, 2).status(), 0u);
  EXPECT_EQ(guest_.context().subchannels_offered, 2u);
  EXPECT_EQ(guest_.DoOperation(storvsc::kCreateSubchannels, 2).status(), kStatusInvalidDeviceState)
      << "once before the end";
  EXPECT_EQ(guest_.DoOperation(storvsc::kEndInitialization).status(), 0u);
  EXPECT_EQ(guest_.DoOperation(storvsc::kCreateSubchannels, 3).status(), 0u);
  EXPECT_EQ(guest_.context().subchannels_offered, 3u);
}

TEST_F(StorvspTest, ASubchannelWaitsForTheEndAndThenCarriesCommandsOnly) {
  Attach();
  guest_.Open();
  (void)guest_.DoOperation(storvsc::kBeginInitialization);
  (void)guest_.DoOperation(storvsc::kQueryProtocolVersion, 0x0602);
  (void)guest_.DoOperation(storvsc::kQueryProperties);
  guest_.Open(1);
  RecordingRequest& early = guest_.StartScsi({.cdb = {0, 0, 0, 0, 0, 0}}, 1);
  guest_.Run();
  EXPECT_TRUE(early.ends.empty());
  EXPECT_EQ(guest_.DoOperation(storvsc::kEndInitialization).status(), 0u);
  EXPECT_EQ(StorvspGuest::ReplyOf(early).srb_status(), storvsc::kSrbSuccess);
  for (uint32_t operation = storvsc::kBeginInitialization; operation <= storvsc::kCreateSubchannels;
       ++operation) {
    if (operation == storvsc::kEnumerateBus) continue;
    EXPECT_EQ(guest_.DoOperation(operation, 0, 1).status(), kStatusInvalidDeviceState) << operation;
  }
  EXPECT_EQ(guest_.DoOperation(storvsc::kResetBus, 0, 1).status(), 0u);
}

TEST_F(StorvspTest, ClosingThePrimaryStartsAnew) {
  guest_.Initialize();
  guest_.Close();
  guest_.Open();
  EXPECT_EQ(guest_.DoOperation(storvsc::kEndInitialization).status(), kStatusInvalidDeviceState);
  guest_.Initialize(storvsc::kVersion5_1);
}

TEST_F(StorvspTest, WritesAndReadsThroughScatteredPages) {
  Attach();
  guest_.Initialize();
  const auto out = guest_.data(8192, 0x20200);
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(i * 5 + i / 256);
  const ScsiReply written = guest_.Do({.cdb = {0x2A, 0, 0, 0, 0, 100, 0, 0, 16, 0},
                                       .bytes = 8192,
                                       .direction = storvsc::kDataOut,
                                       .gpa = 0x20200});
  EXPECT_EQ(
      ToHex(BytesOf(written.packet)),
      ToHex(FromHex("01 00 00 00 00 00 00 00 00 00 00 00 34 00 01 00"
                    " 00 00 00 00 10 14 00 00 00 20 00 00")) +
          [] {
            std::string zeros;
            for (int i = 0; i < 36; ++i) zeros += " 00";
            return zeros;
          }());
  EXPECT_EQ(guest_
                .Do({.cdb = {0x88, 0, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 16, 0, 0},
                     .bytes = 8192,
                     .gpa = 0x30A00})
                .transferred(),
            8192u);
  EXPECT_TRUE(std::ranges::equal(guest_.data(8192, 0x30A00), out));
}

TEST_F(StorvspTest, AnLbaOutOfRangeFailsAsInTheTestVector) {
  Attach();
  guest_.Initialize();
  const ScsiReply reply = guest_.Do({.cdb = {0x28, 0, 0, 0, 0x10, 0, 0, 0, 8, 0}, .bytes = 4096});
  EXPECT_EQ(ToHex(BytesOf(reply.packet).first(48)),
            ToHex(FromHex("01 00 00 00 00 00 00 00 85 01 00 c0 34 00 86 02"
                          " 00 00 00 00 10 14 00 00 00 00 00 00 70 00 05 00"
                          " 00 00 00 0a 00 00 00 00 21 00 00 00 00 00 00 00")));
}

TEST_F(StorvspTest, LunsAreListedAndAbsentOnesSaySo) {
  Attach({.lun = 0});
  Attach({.lun = 3});
  Attach({.path = 1, .lun = 9});
  guest_.Initialize();
  const ScsiReply list = guest_.Do({.cdb = {0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0}, .bytes = 64});
  EXPECT_EQ(list.transferred(), 24u);
  EXPECT_EQ(ToHex(guest_.data(24)),
            "00 00 00 10 00 00 00 00 00 00 00 00 00 00 00 00 00 03 00 00 00 00 00 00");
  const ScsiReply absent = guest_.Do({.cdb = {0, 0, 0, 0, 0, 0}, .address = {.lun = 1}});
  EXPECT_EQ(ToHex(BytesOf(absent.packet).first(28)),
            ToHex(FromHex("01 00 00 00 00 00 00 00 c0 00 00 c0 34 00 20 02 00 00 00 00 10 14"
                          " 00 00 00 00 00 00")));
  const ScsiReply inquiry =
      guest_.Do({.cdb = {0x12, 0, 0, 0, 36, 0}, .bytes = 36, .address = {.lun = 1}});
  EXPECT_EQ(inquiry.srb_status(), storvsc::kSrbSuccess);
  EXPECT_EQ(inquiry.transferred(), 36u);
  EXPECT_EQ(ToHex(guest_.data(9)), "7f 00 05 02 63 00 00 00 00");
}

TEST_F(StorvspTest, TheGuestIsToldOfDisksThatComeAndGo) {
  Attach({.lun = 0});
  guest_.Initialize();
  guest_.Run();
  EXPECT_TRUE(guest_.messages().empty()) << "it scans anyway";
  Attach({.lun = 1});
  ASSERT_TRUE(guest_.vsp().Detach({.lun = 0}).ok());
  EXPECT_FALSE(guest_.vsp().Detach({.lun = 0}).ok());
  EXPECT_FALSE(guest_.vsp().Attach({.lun = 1}, disk_).ok());
  guest_.Run();
  ASSERT_EQ(guest_.messages().size(), 2u);
  EXPECT_EQ(guest_.messages()[0].transaction_id, 0u);
  EXPECT_FALSE(guest_.messages()[0].completion_requested);
  EXPECT_EQ(guest_.messages()[0].payload, std::string("\x0b") + std::string(63, '\0'));
}

// As a file does where the kernel has no ring for one more queue, or a server without multi-conn.
class DiskWithoutQueues final : public BlockDevice {
 public:
  const BlockInfo& info() const override { return info_; }
  uint64_t bytes() const override { return 1 << 20; }
  std::unique_ptr<BlockQueue> OpenQueue(Executor& executor) override {
    (void)executor;
    return nullptr;
  }
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override {
    return BlockBuffer::OfHeap(bytes);
  }

 private:
  const BlockInfo info_;
};

TEST_F(StorvspTest, ADiskThatGivesNoQueueIsRefused) {
  guest_.Initialize();
  for (const ScsiUnit unit : {ScsiUnit::kDisk, ScsiUnit::kDvd}) {
    const absl::Status attached =
        guest_.vsp().Attach({.lun = 2}, std::make_shared<DiskWithoutQueues>(), {.unit = unit});
    EXPECT_EQ(attached, absl::UnavailableError(
                            "storvsc disk 0:0:2: its back end gives no queue for requests"));
    const ScsiReply read =
        guest_.Do({.cdb = {0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0}, .bytes = 512, .address = {.lun = 2}});
    EXPECT_EQ(read.srb_status(), storvsc::kSrbInvalidLun);
  }
  Attach({.lun = 2});
}

TEST_F(StorvspTest, ABadRangeOrCdbIsRefusedAndNothingIsTouched) {
  Attach();
  guest_.Initialize();
  const std::vector<uint8_t> read = {0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0};
  // Shorter than it says, none at all, outside of memory, larger than is allowed.
  ScsiReply reply = guest_.Do({.cdb = read, .bytes = 4096, .range_bytes = 512});
  EXPECT_EQ(reply.status(), kStatusInvalidParameter);
  EXPECT_EQ(reply.srb_status(), storvsc::kSrbInvalidRequest);
  EXPECT_EQ(guest_.Do({.cdb = read, .bytes = 4096, .range_bytes = 0}).status(),
            kStatusInvalidParameter);
  for (const Gpa gpa : {Gpa{4} << 20, Gpa{0xFFFFFFFFFF000}, (Gpa{4} << 20) - 512}) {
    reply = guest_.Do({.cdb = read, .bytes = 4096, .gpa = gpa});
    EXPECT_EQ(reply.srb_status(), 0x86);
    EXPECT_EQ(reply.sense(), (scsi::Sense{5, 0x24, 0}));
    EXPECT_EQ(reply.transferred(), 0u);
  }
  reply = guest_.Do({.cdb = read, .bytes = 256 * 1024 + 1});
  EXPECT_EQ(reply.sense(), (scsi::Sense{5, 0x24, 0}));
  reply = guest_.Do({.cdb = read, .bytes = 4096, .cdb_length = 6});
  EXPECT_EQ(reply.sense(), (scsi::Sense{5, 0x24, 0})) << "truncated";
  reply = guest_.Do({.cdb = read, .bytes = 4096, .cdb_length = 17});
  EXPECT_EQ(reply.sense(), (scsi::Sense{5, 0x24, 0}));
  // A range longer than the transfer is cut to it.
  std::ranges::fill(guest_.data(8192), std::byte{0xEE});
  reply = guest_.Do({.cdb = read, .bytes = 4096, .range_bytes = 8192});
  EXPECT_EQ(reply.transferred(), 4096u);
  EXPECT_EQ(guest_.data(8192)[4095], std::byte{0});
  EXPECT_EQ(guest_.data(8192)[4096], std::byte{0xEE});
}

TEST_F(StorvspTest, WhatCannotBeAnsweredEndsTheChannel) {
  guest_.Open();
  {
    const SimTurn turn = guest_.sim().Enter(guest_.host_executor());
    EXPECT_EQ(guest_.channel().Send({.payload = TextBytes("12345678")}), SendResult::kOk);
  }
  guest_.Run();
  EXPECT_TRUE(guest_.host().closed());
}

// Found by storvsp_fuzz: it was never answered, and its slot was lost to the channel.
TEST_F(StorvspTest, ACommandThatIsTooShortIsInvalidAndGivesItsSlotBack) {
  StorvspGuest guest({.requests_max = 1});
  guest.Initialize();
  for (const size_t bytes : {size_t{12}, size_t{28}, storvsc::kOldPacketBytes - 8}) {
    const ScsiReply reply = guest.DoOperation(storvsc::kExecuteSrb, 0, 0, bytes);
    ASSERT_TRUE(reply.answered) << bytes;
    EXPECT_EQ(reply.packet.header.operation, uint32_t{storvsc::kCompleteIo}) << bytes;
    EXPECT_EQ(reply.status(), kStatusInvalidParameter) << bytes;
    EXPECT_EQ(reply.bytes, AlignTo8(bytes)) << "as long as it was, in words";
  }
  EXPECT_EQ(guest.Do({.cdb = {0, 0, 0, 0, 0, 0}}).srb_status(), storvsc::kSrbInvalidLun);
}

TEST_F(StorvspTest, UnknownOperationsAreInvalid) {
  guest_.Initialize();
  for (const uint32_t operation : {0u, 1u, 2u, 11u, 12u, 14u, 0xFFFFFFFFu}) {
    EXPECT_EQ(guest_.DoOperation(operation).status(), kStatusInvalidParameter) << operation;
  }
}

TEST_F(StorvspTest, MoreThanOneRangeIsRefused) {
  Attach();
  guest_.Initialize();
  const StorvspGuest::Packet64 packet =
      StorvspGuest::PacketOf({.cdb = {0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0}, .bytes = 1024});
  const PageBuffer buffers[] = {{.pfn = 16, .offset = 0, .length = 512},
                                {.pfn = 17, .offset = 0, .length = 512}};
  std::byte space[PageBuffersBytes(2)];
  RecordingRequest& request = guest_.Start({.type = PacketType::kGpaDirect,
                                            .extension = BuildPageBuffers(space, buffers),
                                            .payload = BytesOf(packet)});
  guest_.Run();
  EXPECT_EQ(StorvspGuest::ReplyOf(request).status(), kStatusInvalidParameter);
}

TEST(StorvspKinds, AnIdeChannelForcesThePathButNotForReportLuns) {
  StorvspGuest guest({.kind = StorvspOptions::Kind::kIde, .ide_path = 1});
  ASSERT_TRUE(guest.vsp().Attach({.path = 1}, std::make_shared<RamDisk>()).ok());
  guest.Open();
  (void)guest.DoOperation(storvsc::kBeginInitialization);
  (void)guest.DoOperation(storvsc::kQueryProtocolVersion, 0x0602);
  const ScsiReply properties = guest.DoOperation(storvsc::kQueryProperties);
  storvsc::ChannelProperties read;
  std::memcpy(&read, &properties.packet.body, sizeof read);
  EXPECT_EQ(read.max_channel_count, 0u);
  EXPECT_EQ(read.flags, storvsc::kPropertyMultiChannel);
  EXPECT_EQ(guest.DoOperation(storvsc::kFcHbaData).status(), kStatusInvalidParameter);
  EXPECT_EQ(guest.DoOperation(storvsc::kCreateSubchannels, 1).status(), kStatusInvalidParameter);
  EXPECT_EQ(guest.DoOperation(storvsc::kEndInitialization).status(), 0u);
  for (const uint8_t path : {0, 1, 5}) {
    EXPECT_EQ(guest.Do({.cdb = {0, 0, 0, 0, 0, 0}, .address = {.path = path}}).srb_status(),
              storvsc::kSrbSuccess);
    EXPECT_EQ(guest
                  .Do({.cdb = {0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0},
                       .bytes = 64,
                       .address = {.path = path}})
                  .transferred(),
              path == 1 ? 16u : 8u);
  }
}

TEST(StorvspKinds, AFibreChannelAdapterTellsItsNames) {
  StorvspOptions options{.kind = StorvspOptions::Kind::kFibreChannel};
  options.wwns.primary_active = 1;
  options.wwns.primary_port = {1, 2, 3, 4, 5, 6, 7, 8};
  StorvspGuest guest(options);
  guest.Open();
  (void)guest.DoOperation(storvsc::kBeginInitialization);
  (void)guest.DoOperation(storvsc::kQueryProtocolVersion, 0x0602);
  EXPECT_EQ(guest.DoOperation(storvsc::kFcHbaData).status(), kStatusInvalidDeviceState);
  (void)guest.DoOperation(storvsc::kQueryProperties);
  const ScsiReply names = guest.DoOperation(storvsc::kFcHbaData);
  EXPECT_EQ(ToHex(BytesOf(names.packet).subspan(12, 12)), "01 00 00 00 01 02 03 04 05 06 07 08");
  EXPECT_EQ(guest.DoOperation(storvsc::kEndInitialization).status(), 0u);
}

TEST(StorvspKinds, AHostOf6_0RejectsWhatIsNewer) {
  StorvspGuest guest({.version_min = 0x0501, .version_max = 0x0600});
  guest.Open();
  (void)guest.DoOperation(storvsc::kBeginInitialization);
  for (const uint16_t version : {0x0602, 0x0402, 0x0200}) {
    EXPECT_EQ(guest.DoOperation(storvsc::kQueryProtocolVersion, version).status(),
              storvsc::kStatusRevisionMismatch);
  }
  EXPECT_EQ(guest.DoOperation(storvsc::kQueryProtocolVersion, 0x0600).status(), 0u);
}

}  // namespace
}  // namespace vmbuskit
