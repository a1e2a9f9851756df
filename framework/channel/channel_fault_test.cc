// A channel whose peer lies. The test plays that peer on the rings itself.
#include <cstring>
#include <string>
#include <vector>

#include "framework/channel/channel.h"
#include "framework/channel/channel_pair.h"
#include "framework/channel/recording.h"
#include "framework/task/deadline.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

// The guest's end is under test; the host is the test.
class LyingHost : public testing::Test {
 protected:
  LyingHost() {
    pair.guest().Start(guest);
    EXPECT_TRUE(pair.Run());
  }
  void HostSends(const OutgoingPacket& packet) {
    ASSERT_EQ(to_guest.Append(packet), AppendResult::kOk);
    if (to_guest.Publish()) pair.to_guest().Raise();
  }
  // Sixteen bytes as they are, published as a ring entry of `total` bytes.
  void HostPublishes(uint64_t descriptor, uint32_t total) {
    const uint32_t at = pair.down().words().write_index;
    std::memcpy(pair.down().data + at, &descriptor, sizeof descriptor);
    pair.down().words().write_index = at + total;
    pair.guest().wake().Signal();
  }
  SendResult Ask(RecordingRequest& request) {
    return pair.guest().SendRequest({}, request, DeadlineIn(pair.guest_executor()));
  }
  // The channel failed with `error`, and everything in flight ended once.
  void ExpectFailed(const std::string& error) {
    ASSERT_TRUE(pair.Run());
    ASSERT_EQ(guest.closed.size(), 1u);
    EXPECT_EQ(guest.closed[0], absl::DataLossError(error));
    EXPECT_EQ(pair.guest().reason(), guest.closed[0]);
    EXPECT_EQ(pair.guest().Send({}), SendResult::kClosed);
    EXPECT_EQ(pair.guest().requests_outstanding(), 0u);
  }

  RecordingHandler guest;
  RecordingRequest requests[3];
  ChannelPair pair{{.guest = {.max_packet_bytes = 1024, .max_requests = 3}, .with_host = false}};
  RingWriter to_guest{pair.down()};
};

TEST_F(LyingHost, CompletesAnIdNeverIssued) {
  ASSERT_EQ(Ask(requests[0]), SendResult::kOk);
  HostSends({.type = PacketType::kCompletion, .transaction_id = 2});
  ExpectFailed("guest end: completion transaction_id is 2: was never issued");
  EXPECT_EQ(requests[0].ends, std::vector{RequestEnd::kClosed});
}

TEST_F(LyingHost, CompletesAnIdBeyondTheTable) {
  HostSends({.type = PacketType::kCompletion, .transaction_id = 0xFFFF'FFFF'FFFF'FFFF});
  ExpectFailed("guest end: completion transaction_id is 18446744073709551615: was never issued");
}

TEST_F(LyingHost, CompletesIdZero) {
  HostSends({.type = PacketType::kCompletion, .transaction_id = 0});
  ExpectFailed("guest end: completion transaction_id is 0: id 0 never waits for a completion");
}

TEST_F(LyingHost, CompletesTwice) {
  ASSERT_EQ(Ask(requests[0]), SendResult::kOk);
  ASSERT_EQ(Ask(requests[1]), SendResult::kOk);
  HostSends({.type = PacketType::kCompletion, .transaction_id = 1});
  HostSends({.type = PacketType::kCompletion, .transaction_id = 1});
  HostSends({.type = PacketType::kCompletion, .transaction_id = 2});  // not looked at any more
  ExpectFailed("guest end: completion transaction_id is 1: was completed already");
  EXPECT_EQ(requests[0].ends, std::vector{RequestEnd::kCompleted});
  EXPECT_EQ(requests[1].ends, std::vector{RequestEnd::kClosed});
}

TEST_F(LyingHost, PointsItsWriteIndexOutsideOrAstray) {
  pair.down().words().write_index = 16 * 1024;
  pair.guest().wake().Signal();
  ExpectFailed(
      "guest end incoming ring: write_index is 16384: must be a multiple of 8 inside the ring");
}

TEST_F(LyingHost, SendsALengthBeyondWhatItPublished) {
  HostPublishes(uint64_t{6} | uint64_t{2} << 16 | uint64_t{100} << 32, 24);
  ExpectFailed("guest end incoming ring: len8 is 100: must not reach past the write index");
}

TEST_F(LyingHost, SendsAPacketAboveTheLimit) {
  const std::string big(1024 - 16 + 8, 'b');
  HostSends({.payload = TextBytes(big)});
  ExpectFailed("guest end incoming ring: len8 is 129: above the channel's largest packet");
  EXPECT_EQ(guest.packet_count, 0u);
}

TEST_F(LyingHost, PacketsBeforeTheLieAreDelivered) {
  HostSends({.payload = TextBytes("honest")});
  HostPublishes(uint64_t{6} | uint64_t{9} << 16 | uint64_t{2} << 32, 24);
  ExpectFailed("guest end incoming ring: offset8 is 9: must not exceed len8");
  EXPECT_EQ(guest.packet_count, 1u);
}

TEST_F(LyingHost, ABadReadIndexFoundBySendEndsTheChannelAtTheNextTurn) {
  ASSERT_EQ(Ask(requests[0]), SendResult::kOk);
  pair.up().words().read_index = 4;
  const std::string payload(1000, 'x');
  SendResult result = SendResult::kOk;
  for (int i = 0; i < 20 && result == SendResult::kOk; ++i) {
    result = pair.guest().Send({.payload = TextBytes(payload)});
  }
  EXPECT_EQ(result, SendResult::kClosed);
  EXPECT_TRUE(pair.guest().closed());
  EXPECT_TRUE(guest.closed.empty());  // a Send calls nobody back
  EXPECT_TRUE(requests[0].ends.empty());
  ExpectFailed("guest end outgoing ring: read_index is 4: must be a multiple of 8 inside the ring");
  EXPECT_EQ(requests[0].ends, std::vector{RequestEnd::kClosed});
}

TEST_F(LyingHost, CloseAfterAViolationThatASendFoundKeepsItsReason) {
  pair.up().words().read_index = 4;
  const std::string payload(1000, 'x');
  while (pair.guest().Send({.payload = TextBytes(payload)}) == SendResult::kOk) {
  }
  pair.guest().Close(absl::CancelledError("device stops"));
  ASSERT_EQ(guest.closed.size(), 1u);
  EXPECT_EQ(guest.closed[0].code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.closed.size(), 1u);
}

TEST_F(LyingHost, UnknownPacketTypesAreIgnoredAndCounted) {
  HostSends({.type = static_cast<PacketType>(5)});
  HostSends({.payload = TextBytes("known")});
  HostSends({.type = static_cast<PacketType>(0xC)});
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.packet_count, 1u);
  EXPECT_EQ(pair.guest().packets_ignored(), 2u);
  EXPECT_FALSE(pair.guest().closed());
  EXPECT_EQ(pair.down().words().read_index, pair.down().words().write_index);
}

TEST_F(LyingHost, IndicesThatMoveWithoutEndDoNotHoldTheExecutor) {
  // Every packet makes the host publish another one: the budget ends the turn.
  guest.on_packet = [&](Channel&, const Packet&) { HostSends({}); };
  HostSends({});
  const uint64_t third = pair.sim().steps() + 3;
  EXPECT_TRUE(pair.sim().RunUntil([&] { return pair.sim().steps() == third; }, Duration(0)));
  EXPECT_EQ(guest.packet_count, 3u * 1024);
}

TEST_F(LyingHost, EveryDescriptorEndsInAPacketOrAViolation) {
  // All types, offsets and lengths near the limits, one channel each.
  for (uint64_t type : {0, 5, 6, 9, 11, 0xFFFF}) {
    for (uint64_t offset8 : {0, 1, 2, 3, 8, 0xFFFF}) {
      for (uint64_t len8 : {0, 1, 2, 3, 8, 9, 128, 129, 0xFFFF}) {
        RecordingHandler handler;
        ChannelPair one({.guest = {.max_packet_bytes = 1024}, .with_host = false});
        one.guest().Start(handler);
        const uint64_t word = type | offset8 << 16 | len8 << 32;
        std::memcpy(one.down().data, &word, sizeof word);
        one.down().words().write_index = 72;
        ASSERT_TRUE(one.Run());
        const bool whole = len8 >= 2 && len8 <= 8 && offset8 >= 2 && offset8 <= len8;
        if (!whole) {
          EXPECT_TRUE(one.guest().closed()) << type << " " << offset8 << " " << len8;
        }
        if (len8 == 8 && whole) {
          EXPECT_EQ(one.guest().closed(), type == 11);  // a completion of id 0
          EXPECT_EQ(handler.packet_count, type == 6 || type == 9 ? 1u : 0u);
        }
      }
    }
  }
}

// The host's end is under test; the test is the guest.
TEST(LyingGuest, UnknownPacketTypeFailsTheChannel) {
  RecordingHandler guest;
  RecordingHandler host;
  ChannelPair pair;
  pair.host().Start(host);
  ASSERT_EQ(pair.guest().Send({.type = static_cast<PacketType>(5)}), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.closed,
            std::vector{absl::DataLossError("host end incoming ring: packet type is 5: unknown")});
}

TEST(LyingGuest, CompletionNobodyAskedForFailsTheChannel) {
  RecordingHandler host;
  ChannelPair pair;
  pair.host().Start(host);
  ASSERT_EQ(pair.guest().Complete(9, {}), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.closed, std::vector{absl::DataLossError(
                             "host end: completion transaction_id is 9: was never issued")});
  EXPECT_FALSE(pair.guest().closed());  // its own end is its own affair
}

}  // namespace
}  // namespace vmbuskit
