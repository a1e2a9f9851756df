// Stories about one channel with both ends honest; channel_fault_test.cc has the others.
#include "framework/channel/channel.h"

#include <memory>
#include <string>
#include <vector>

#include "framework/channel/channel_pair.h"
#include "framework/channel/recording.h"
#include "framework/task/deadline.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ChannelTest : public testing::Test {
 protected:
  void Start() {
    pair.guest().Start(guest);
    pair.host().Start(host);
    ASSERT_TRUE(pair.Run());
    pair.to_guest().TakeRaised();
    pair.to_host().TakeRaised();
  }
  // The host answers every packet that asks for it with `text`.
  void HostAnswers(std::string text) {
    host.on_packet = [text](Channel& channel, const Packet& packet) {
      if (!packet.completion_requested) return;
      EXPECT_EQ(channel.Complete(packet.transaction_id, TextBytes(text)), SendResult::kOk);
    };
  }
  SendResult Ask(RecordingRequest& request, Duration deadline = kDefaultDeadline) {
    return pair.guest().SendRequest({.payload = TextBytes("question")}, request,
                                    DeadlineIn(pair.guest_executor(), deadline));
  }

  RecordingHandler guest;
  RecordingHandler host;
  RecordingRequest requests[8];
  ChannelPair pair;
};

TEST_F(ChannelTest, PacketsArriveInOrderWithTypeIdAndPayload) {
  Start();
  ASSERT_EQ(pair.guest().Send({.transaction_id = 7, .payload = TextBytes("hello vmbus")}),
            SendResult::kOk);
  const uint64_t ranges[2] = {uint64_t{1} << 32, 0};  // one range
  ASSERT_EQ(pair.guest().Send({.type = PacketType::kGpaDirect,
                               .extension = std::as_bytes(std::span(ranges)),
                               .payload = TextBytes("12345678"),
                               .payload_tail = TextBytes("abc")}),
            SendResult::kOk);
  ASSERT_TRUE(pair.Run());

  ASSERT_EQ(host.packets.size(), 2u);
  EXPECT_EQ(host.packets[0].type, PacketType::kInBand);
  EXPECT_EQ(host.packets[0].transaction_id, 7u);
  EXPECT_FALSE(host.packets[0].completion_requested);
  EXPECT_EQ(host.packets[0].payload, std::string("hello vmbus\0\0\0\0\0", 16));
  EXPECT_EQ(host.packets[1].type, PacketType::kGpaDirect);
  EXPECT_EQ(host.packets[1].payload, std::string("12345678abc\0\0\0\0\0", 16));
  EXPECT_EQ(pair.guest().counters().packets_out, 2u);
  EXPECT_EQ(pair.guest().counters().bytes_out, 22u);
  EXPECT_EQ(pair.host().counters().packets_in, 2u);
  EXPECT_EQ(pair.host().counters().bytes_in, 32u);
}

TEST_F(ChannelTest, RequestCompletes) {
  HostAnswers("answer..");
  Start();
  ASSERT_EQ(Ask(requests[0]), SendResult::kOk);
  EXPECT_EQ(pair.guest().requests_outstanding(), 1u);
  ASSERT_TRUE(pair.Run());

  ASSERT_EQ(host.packets.size(), 1u);
  EXPECT_TRUE(host.packets[0].completion_requested);
  EXPECT_EQ(host.packets[0].transaction_id, 1u);  // slot 0
  EXPECT_EQ(requests[0].ends, std::vector{RequestEnd::kCompleted});
  EXPECT_EQ(requests[0].reply, "answer..");
  EXPECT_TRUE(guest.packets.empty());  // a completion is not a packet for the handler
  EXPECT_EQ(pair.guest().requests_outstanding(), 0u);
}

}  // namespace
}  // namespace vmbuskit
