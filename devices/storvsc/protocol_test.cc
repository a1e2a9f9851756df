#include "devices/storvsc/protocol.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "devices/storvsc/scsi.h"
#include "framework/base/hex.h"
#include "framework/channel/payload.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::storvsc {
namespace {

using testing::ElementsAreArray;

// The packets of protocol 10 section 10, from behind their VMBus descriptor on, padded with zeros.
std::vector<std::byte> Padded(std::string_view hex) {
  std::vector<std::byte> bytes = FromHex(hex);
  bytes.resize(kPacketBytes);
  return bytes;
}

TEST(StorvscProtocolTest, QueryProtocolVersion) {
  const PacketOf<ProtocolVersion> packet = {
      .header = {.operation = kQueryProtocolVersion, .flags = kFlagRequestCompletion, .status = 0},
      .body = {.major_minor = kVersion6_2, .revision = 0},
      .zeros = {}};
  EXPECT_THAT(BytesOf(packet),
              ElementsAreArray(Padded("09 00 00 00 01 00 00 00 00 00 00 00 02 06 00 00")));
}

TEST(StorvscProtocolTest, ExecuteSrbOfARead) {
  PacketOf<ScsiRequest> packet = {
      .header = {.operation = kExecuteSrb, .flags = kFlagRequestCompletion, .status = 0},
      .body = {.length = kRequestLength,
               .srb_status = 0,
               .scsi_status = 0,
               .port_number = 0,
               .path_id = 0,
               .target_id = 0,
               .lun = 1,
               .cdb_length = 10,
               .sense_info_length = kMaxSenseBytes,
               .data_in = kDataIn,
               .reserved = 0,
               .data_transfer_length = 4096,
               .cdb_or_sense = {scsi::kRead10},
               .extension_reserved = 0,
               .queue_tag = kUntagged,
               .queue_action = kSimpleQueueTag,
               .srb_flags = kSrbFlagDataIn | kSrbFlagNoQueueFreeze | kSrbFlagDisableSynchTransfer |
                            kSrbFlagQueueActionEnable,
               .time_out_value = 60,
               .queue_sort_key = 0}};
  scsi::WriteBig32(&packet.body.cdb_or_sense[2], 2048);
  scsi::WriteBig16(&packet.body.cdb_or_sense[7], 8);
  EXPECT_THAT(BytesOf(packet),
              ElementsAreArray(Padded("03 00 00 00 01 00 00 00 00 00 00 00 34 00 00 00"
                                      " 00 00 00 01 0a 14 01 00 00 10 00 00 28 00 00 00"
                                      " 08 00 00 00 08 00 00 00 00 00 00 00 00 00 00 00"
                                      " 00 00 ff 20 4a 01 00 00 3c 00 00 00 00 00 00 00")));
}

TEST(StorvscProtocolTest, CompletionWithSense) {
  const auto packet =
      *ReadAs<PacketOf<ScsiRequest>>(Padded("01 00 00 00 00 00 00 00 85 01 00 c0 34 00 86 02"
                                            " 00 00 00 00 10 14 00 00 00 00 00 00 70 00 05 00"
                                            " 00 00 00 0a 00 00 00 00 21 00 00 00 00 00 00 00"));
  EXPECT_EQ(packet.header.operation, kCompleteIo);
  EXPECT_EQ(packet.header.status, kStatusIoDeviceError);
  EXPECT_EQ(packet.body.srb_status, kSrbInvalidRequest | kSrbAutosenseValid);
  EXPECT_EQ(packet.body.scsi_status, scsi::kCheckCondition);
  EXPECT_EQ(packet.body.sense_info_length, kMaxSenseBytes);
  const auto sense = scsi::FixedSense({scsi::kIllegalRequest, 0x21, 0});
  EXPECT_TRUE(std::ranges::equal(sense, std::span(packet.body.cdb_or_sense).first(sense.size())));
}

TEST(StorvscProtocolTest, QueryPropertiesReply) {
  const auto packet = *ReadAs<PacketOf<ChannelProperties>>(
      Padded("01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
             " 03 00 00 00 01 00 00 00 00 00 04 00 00 00 00 00"));
  EXPECT_EQ(packet.body.max_channel_count, 3);
  EXPECT_EQ(packet.body.flags, kPropertyMultiChannel);
  EXPECT_EQ(packet.body.max_transfer_bytes, 256u * 1024);
}

TEST(StorvscProtocolTest, BeforeVersion5Point1PacketsHaveNoExtension) {
  EXPECT_EQ(PacketBytes(kVersion4_2), sizeof(PacketHeader) + kOldRequestLength);
  EXPECT_EQ(PacketBytes(kVersion5_1), sizeof(PacketHeader) + kRequestLength);
  EXPECT_EQ(offsetof(ScsiRequest, extension_reserved), kOldRequestLength);
}

TEST(ScsiTest, FieldsAreBigEndianAtAnyAddress) {
  std::array<uint8_t, 16> bytes{};
  scsi::WriteBig64(&bytes[1], 0x0102030405060708);
  EXPECT_THAT(bytes, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(scsi::ReadBig16(&bytes[3]), 0x0304);
  EXPECT_EQ(scsi::ReadBig32(&bytes[3]), 0x03040506u);
  EXPECT_EQ(scsi::ReadBig64(&bytes[1]), 0x0102030405060708u);
}

}  // namespace
}  // namespace vmbuskit::storvsc
