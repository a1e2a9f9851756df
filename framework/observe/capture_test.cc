#include "framework/observe/capture.h"

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "framework/channel/channel_pair.h"
#include "framework/channel/recording.h"
#include "framework/observe/pcapng.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

class StringSink final : public ByteSink {
 public:
  absl::Status Write(std::span<const std::byte> bytes) override {
    if (writes_left-- == 0) return absl::ResourceExhaustedError("disk full");
    data.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return absl::OkStatus();
  }
  std::string data;
  int writes_left = -1;
};

// Reads the file back as any pcapng reader would, checking lengths on the way.
class Reader {
 public:
  struct Block {
    uint32_t type;
    std::string body;
  };

  static std::vector<Block> Blocks(std::string_view file) {
    std::vector<Block> blocks;
    while (!file.empty()) {
      const uint32_t length = Word<uint32_t>(file, 4);
      EXPECT_EQ(length % 4, 0u);
      EXPECT_LE(length, file.size());
      if (length < 12 || length > file.size()) break;
      EXPECT_EQ(Word<uint32_t>(file, length - 4), length);
      blocks.push_back({Word<uint32_t>(file, 0), std::string(file.substr(8, length - 12))});
      file.remove_prefix(length);
    }
    return blocks;
  }

  template <typename T>
  static T Word(std::string_view bytes, size_t offset) {
    T value{};
    EXPECT_LE(offset + sizeof value, bytes.size());
    if (offset + sizeof value <= bytes.size()) {
      std::memcpy(&value, bytes.data() + offset, sizeof value);
    }
    return value;
  }
};

class CaptureTest : public testing::Test {
 protected:
  // Drains `buffer` and returns the packet blocks' bodies.
  std::vector<std::string> Drain(CaptureBuffer& buffer) {
    StringSink sink;
    PcapngWriter writer(sink, {});
    EXPECT_TRUE(buffer.Drain(writer).ok());
    std::vector<std::string> packets;
    for (const Reader::Block& block : Reader::Blocks(sink.data)) {
      EXPECT_EQ(block.type, 6u);
      packets.push_back(block.body);
    }
    return packets;
  }
  // The captured bytes of a packet block.
  static std::string Data(const std::string& body) {
    return body.substr(20, Reader::Word<uint32_t>(body, 12));
  }

  ChannelPair pair_;
  SimScheduler& sim_ = pair_.sim();
  Executor& executor_ = pair_.guest_executor();
};

TEST_F(CaptureTest, FileStartsWithSectionAndInterface) {
  StringSink sink;
  PcapngWriter writer(sink, {.application = "vmbus", .snap_bytes = 256});
  ASSERT_TRUE(writer.Begin().ok());
  const std::array<uint8_t, 80> expected = {0x0a, 0x0d, 0x0d, 0x0a, 44,   0,    0,    0,    0x4d,
                                            0x3c, 0x2b, 0x1a, 1,    0,    0,    0,  // section
                                            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 4,
                                            0,    5,    0,    'v',  'm',  'b',  'u',  //
                                            's',  0,    0,    0,    0,    0,    0,    0,    44,
                                            0,    0,    0,  //
                                            1,    0,    0,    0,    44,   0,    0,    0,    147,
                                            0,    0,    0,    0,    1,    0,    0,  // interface
                                            2,    0,    5,    0,    'v',  'm',  'b',  'u',  's',
                                            0,    0,    0,    9,    0,    1,    0,    9,    0,
                                            0,    0};
  ASSERT_EQ(sink.data.size(), 44u + 44u);
  EXPECT_EQ(std::memcmp(sink.data.data(), expected.data(), expected.size()), 0);
  EXPECT_EQ(Reader::Blocks(sink.data).size(), 2u);
}

TEST_F(CaptureTest, ASentPacketIsWrittenAsItLiesOnTheRing) {
  CaptureBuffer buffer(executor_, {});
  ChannelTap tap(buffer, 5);
  tap.OnOutgoing(pair_.guest(), {.type = PacketType::kGpaDirect,
                                 .completion_requested = true,
                                 .transaction_id = 0x1122334455667788,
                                 .extension = Bytes("extended"),
                                 .payload = Bytes("head"),
                                 .payload_tail = Bytes("tail!")});

  const std::vector<std::string> packets = Drain(buffer);
  ASSERT_EQ(packets.size(), 1u);
  const uint64_t now = static_cast<uint64_t>(sim_.Now().time_since_epoch().count());
  EXPECT_EQ(Reader::Word<uint32_t>(packets[0], 4), now >> 32);
  EXPECT_EQ(Reader::Word<uint32_t>(packets[0], 8), now & 0xffffffff);
  const std::string data = Data(packets[0]);
  ASSERT_EQ(data.size(), 16u + 16 + 8 + 9);
  EXPECT_EQ(Reader::Word<uint32_t>(packets[0], 16), data.size());
  EXPECT_EQ(Reader::Word<uint32_t>(data, 0), 5u);   // relid
  EXPECT_EQ(Reader::Word<uint8_t>(data, 4), 1u);    // sent
  EXPECT_EQ(Reader::Word<uint8_t>(data, 5), 1u);    // version
  EXPECT_EQ(Reader::Word<uint16_t>(data, 6), 16u);  // header bytes
  EXPECT_EQ(Reader::Word<uint64_t>(data, 8), now);
  EXPECT_EQ(Reader::Word<uint16_t>(data, 16), 9u);  // type
  EXPECT_EQ(Reader::Word<uint16_t>(data, 18), 3u);  // offset8
  EXPECT_EQ(Reader::Word<uint16_t>(data, 20), 5u);  // len8: 16 + 8 + 16
  EXPECT_EQ(Reader::Word<uint16_t>(data, 22), 1u);  // completion requested
  EXPECT_EQ(Reader::Word<uint64_t>(data, 24), 0x1122334455667788u);
  EXPECT_EQ(data.substr(32), "extendedheadtail!");
  // Options: flags "outbound", end.
  EXPECT_EQ(packets[0].substr(20 + 52),
            std::string("\x02\x00\x04\x00\x02\x00\x00\x00\x00\x00\x00\x00", 12));
}

TEST_F(CaptureTest, AReceivedPacketSaysSo) {
  CaptureBuffer buffer(executor_, {});
  ChannelTap tap(buffer, 2047);
  tap.OnIncoming(
      pair_.guest(),
      {.type = PacketType::kCompletion, .transaction_id = 1, .payload = Bytes("12345678")});
  const std::vector<std::string> packets = Drain(buffer);
  ASSERT_EQ(packets.size(), 1u);
  const std::string data = Data(packets[0]);
  EXPECT_EQ(Reader::Word<uint32_t>(data, 0), 2047u);
  EXPECT_EQ(Reader::Word<uint8_t>(data, 4), 0u);
  EXPECT_EQ(data.substr(32), "12345678");
  EXPECT_EQ(Reader::Word<uint32_t>(packets[0], 20 + 40 + 4), 1u);  // inbound
}

TEST_F(CaptureTest, LongPacketsAreCutAndKeepTheirLength) {
  CaptureBuffer buffer(executor_, {.snap_bytes = 24});
  ChannelTap tap(buffer, 1);
  tap.OnOutgoing(pair_.guest(), {.payload = Bytes("abcdefghijklmnop")});
  const std::vector<std::string> packets = Drain(buffer);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(Data(packets[0]).substr(32), "abcdefgh");
  EXPECT_EQ(Reader::Word<uint32_t>(packets[0], 16), 16u + 16 + 16);
}

TEST_F(CaptureTest, AFullBufferForgetsTheOldestAndSaysHowMany) {
  // Each takes 8 + 16 + 16 + 8 = 48 bytes: four fit into 200.
  CaptureBuffer buffer(executor_, {.bytes = 200, .snap_bytes = 64});
  ChannelTap tap(buffer, 1);
  for (uint64_t i = 0; i < 10; ++i) {
    tap.OnOutgoing(pair_.guest(),
                   {.transaction_id = i, .payload = std::as_bytes(std::span(&i, 1))});
  }
  EXPECT_EQ(buffer.packets(), 4u);
  EXPECT_EQ(buffer.captured(), 10u);
  EXPECT_EQ(buffer.lost(), 6u);
  const std::vector<std::string> packets = Drain(buffer);
  ASSERT_EQ(packets.size(), 4u);
  for (uint64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(Reader::Word<uint64_t>(Data(packets[i]), 24), 6 + i);
    EXPECT_EQ(Reader::Word<uint64_t>(Data(packets[i]), 32), 6 + i);
  }
  // The first one carries the drop count (option 4), the others do not.
  EXPECT_EQ(Reader::Word<uint16_t>(packets[0], 20 + 40 + 8), 4u);
  EXPECT_EQ(Reader::Word<uint64_t>(packets[0], 20 + 40 + 12), 6u);
  EXPECT_EQ(Reader::Word<uint16_t>(packets[1], 20 + 40 + 8), 0u);
  EXPECT_EQ(buffer.packets(), 0u);
}

TEST_F(CaptureTest, TapsALiveChannelWhenAskedTo) {
  RecordingHandler guest, host;
  CaptureBuffer buffer(executor_, {});
  ChannelTap tap(buffer, 7);
  {
    ChannelPair pair;
    pair.guest().Start(guest);
    pair.host().Start(host);
    ASSERT_EQ(pair.guest().Send({.payload = TextBytes("before")}), SendResult::kOk);
    pair.guest().SetTap(&tap);
    ASSERT_EQ(pair.guest().Send({.payload = TextBytes("question")}), SendResult::kOk);
    ASSERT_EQ(pair.host().Send({.payload = TextBytes("answered")}), SendResult::kOk);
    ASSERT_TRUE(pair.Run());
    pair.guest().SetTap(nullptr);
    ASSERT_EQ(pair.guest().Send({.payload = TextBytes("after")}), SendResult::kOk);
  }
  const std::vector<std::string> packets = Drain(buffer);
  ASSERT_EQ(packets.size(), 2u);
  EXPECT_EQ(Data(packets[0]).substr(32), "question");
  EXPECT_EQ(Data(packets[1]).substr(32), "answered");
}

TEST_F(CaptureTest, AFailingSinkLosesNothing) {
  CaptureBuffer buffer(executor_, {});
  ChannelTap tap(buffer, 1);
  for (int i = 0; i < 3; ++i) tap.OnOutgoing(pair_.guest(), {.payload = Bytes("x")});
  StringSink sink;
  sink.writes_left = 1;
  PcapngWriter writer(sink, {});
  EXPECT_EQ(buffer.Drain(writer), absl::ResourceExhaustedError("disk full"));
  EXPECT_EQ(buffer.packets(), 2u);
  EXPECT_EQ(Drain(buffer).size(), 2u);
}

TEST_F(CaptureTest, ABufferTooSmallForOnePacketIsMadeLargeEnough) {
  CaptureBuffer buffer(executor_, {.bytes = 1, .snap_bytes = 1});
  ChannelTap tap(buffer, 1);
  tap.OnOutgoing(pair_.guest(), {.payload = Bytes("payload")});
  tap.OnOutgoing(pair_.guest(), {.payload = Bytes("payload")});
  const std::vector<std::string> packets = Drain(buffer);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(Data(packets[0]).size(), 32u);
}

}  // namespace
}  // namespace vmbuskit
