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

TEST_F(ChannelTest, IdsOfRequestsThatRunTogetherDifferAndRestBeforeTheyAreReused) {
  HostAnswers("");
  Start();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(Ask(requests[i]), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  ASSERT_EQ(Ask(requests[0]), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  ASSERT_EQ(host.packets.size(), 4u);
  for (uint64_t i = 0; i < 4; ++i) EXPECT_EQ(host.packets[i].transaction_id, i + 1);
  EXPECT_EQ(requests[0].ends.size(), 2u);
}

TEST_F(ChannelTest, ReplyAfterTheDeadlineFinishesNobody) {
  uint64_t late_id = 0;
  host.on_packet = [&](Channel&, const Packet& packet) { late_id = packet.transaction_id; };
  Start();
  ASSERT_EQ(Ask(requests[0], seconds(15)), SendResult::kOk);
  ASSERT_TRUE(pair.RunFor(seconds(15)));
  EXPECT_EQ(requests[0].ends, std::vector{RequestEnd::kDeadline});
  EXPECT_EQ(pair.guest().requests().abandoned(), 1u);
  EXPECT_FALSE(pair.guest().closed());

  // The next one has another id, so the late answer cannot finish it.
  HostAnswers("in time.");
  ASSERT_EQ(Ask(requests[1]), SendResult::kOk);
  ASSERT_EQ(pair.host().Complete(late_id, TextBytes("late....")), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(requests[0].ends.size(), 1u);
  EXPECT_EQ(requests[1].reply, "in time.");
  EXPECT_EQ(pair.guest().requests().counters().late_answers, 1u);
  EXPECT_EQ(pair.guest().requests().abandoned(), 0u);
  EXPECT_FALSE(pair.guest().closed());
}

TEST_F(ChannelTest, CloseEndsRequestsInFlightOnceAndInOrder) {
  std::vector<int> order;
  for (int i = 0; i < 5; ++i) {
    requests[i].on_end = [&order, i](RequestEnd) { order.push_back(i); };
  }
  guest.on_closed = [&](Channel& channel) {
    EXPECT_EQ(order.size(), 5u);  // the last word
    EXPECT_EQ(channel.Send({}), SendResult::kClosed);
  };
  Start();
  for (int i : {2, 0, 4, 1, 3}) ASSERT_EQ(Ask(requests[i]), SendResult::kOk);
  pair.guest().Close(absl::UnavailableError("rescinded"));
  EXPECT_EQ(order, (std::vector{2, 0, 4, 1, 3}));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(requests[i].ends, std::vector{RequestEnd::kClosed});
  EXPECT_EQ(guest.closed, std::vector{absl::UnavailableError("rescinded")});
  EXPECT_EQ(pair.guest().reason(), absl::UnavailableError("rescinded"));

  pair.guest().Close(absl::InternalError("again"));
  EXPECT_EQ(guest.closed.size(), 1u);
  EXPECT_EQ(pair.guest().reason(), absl::UnavailableError("rescinded"));
  EXPECT_EQ(Ask(requests[5]), SendResult::kClosed);
  EXPECT_FALSE(requests[5].outstanding());

  // Answers that still come, and signals, find nobody.
  HostAnswers("too late");
  ASSERT_TRUE(pair.RunFor(seconds(61)));
  EXPECT_EQ(order.size(), 5u);
}

TEST_F(ChannelTest, CloseFromInsideOnPacketDeliversNothingMore) {
  guest.on_packet = [&](Channel& channel, const Packet&) {
    channel.Close(absl::CancelledError("enough"));
    EXPECT_EQ(guest.closed.size(), 1u);  // all of it happens before Close returns
    EXPECT_EQ(requests[0].ends, std::vector{RequestEnd::kClosed});
  };
  Start();
  ASSERT_EQ(Ask(requests[0]), SendResult::kOk);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(pair.host().Send({.payload = TextBytes("x")}), SendResult::kOk);
  }
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.packet_count, 1u);
  EXPECT_EQ(guest.drained, 0u);
  EXPECT_EQ(guest.closed.size(), 1u);
  pair.DestroyGuest();
}

TEST_F(ChannelTest, CloseFromInsideARequestOfManyEndsTheOthersOnce) {
  HostAnswers("");
  requests[1].on_end = [&](RequestEnd end) {
    EXPECT_EQ(end, RequestEnd::kCompleted);
    pair.guest().Close(absl::CancelledError("enough"));
  };
  requests[2].on_end = [&](RequestEnd) {
    EXPECT_EQ(Ask(requests[0]), SendResult::kClosed);
    pair.guest().Close(absl::CancelledError("twice"));
  };
  Start();
  for (int i = 0; i < 4; ++i) ASSERT_EQ(Ask(requests[i]), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(requests[0].ends, std::vector{RequestEnd::kCompleted});
  EXPECT_EQ(requests[1].ends, std::vector{RequestEnd::kCompleted});
  EXPECT_EQ(requests[2].ends, std::vector{RequestEnd::kClosed});
  EXPECT_EQ(requests[3].ends, std::vector{RequestEnd::kClosed});
  EXPECT_EQ(guest.closed, std::vector{absl::CancelledError("enough")});
}

TEST_F(ChannelTest, CloseFromInsideADeadlineAndFromOnDrained) {
  requests[0].on_end = [&](RequestEnd end) {
    EXPECT_EQ(end, RequestEnd::kDeadline);
    pair.guest().Close(absl::DeadlineExceededError("host is gone"));
  };
  host.on_drained = [](Channel& channel) { channel.Close(absl::CancelledError("drained")); };
  Start();
  ASSERT_EQ(Ask(requests[0], seconds(1)), SendResult::kOk);
  ASSERT_EQ(Ask(requests[1], seconds(1)), SendResult::kOk);
  ASSERT_TRUE(pair.RunFor(seconds(2)));
  EXPECT_EQ(requests[0].ends, std::vector{RequestEnd::kDeadline});
  EXPECT_EQ(requests[1].ends, std::vector{RequestEnd::kClosed});
  EXPECT_EQ(host.packet_count, 2u);
  EXPECT_EQ(host.closed.size(), 1u);
}

TEST_F(ChannelTest, WhatWasSentBeforeCloseStillArrives) {
  Start();
  {
    Channel::Batch batch(pair.guest());
    ASSERT_EQ(pair.guest().Send({.payload = TextBytes("goodbye.")}), SendResult::kOk);
    pair.guest().Close(absl::CancelledError("done"));
  }
  ASSERT_TRUE(pair.Run());
  ASSERT_EQ(host.packets.size(), 1u);
  EXPECT_EQ(host.packets[0].payload, "goodbye.");
}

TEST_F(ChannelTest, AnAnswerSentJustBeforeClosingInOnPacketStillArrives) {
  host.on_packet = [](Channel& channel, const Packet& packet) {
    EXPECT_EQ(channel.Complete(packet.transaction_id, {}), SendResult::kOk);
    channel.Close(absl::CancelledError("last answer given"));
  };
  Start();
  ASSERT_EQ(Ask(requests[0]), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(requests[0].ends, std::vector{RequestEnd::kCompleted});
}

TEST_F(ChannelTest, PacketsThatCanNeverFitAreTooBig) {
  Start();
  const std::string big(4608 - 16 + 1, 'x');  // above max_packet_bytes with its descriptor
  EXPECT_EQ(pair.guest().Send({.payload = TextBytes(big)}), SendResult::kTooBig);
  EXPECT_EQ(pair.guest().Send({.payload = TextBytes(big).subspan(1)}), SendResult::kOk);
  EXPECT_EQ(pair.guest().SendRequest({.payload = TextBytes(big)}, requests[0], kInfiniteFuture),
            SendResult::kTooBig);
  EXPECT_FALSE(requests[0].outstanding());
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packets.size(), 1u);
}

TEST_F(ChannelTest, ACompletionForIdZeroIsNotSentByAHost) {
  Start();
  EXPECT_EQ(pair.host().Complete(0, {}), SendResult::kOk);
  EXPECT_EQ(pair.host().counters().packets_out, 0u);
  EXPECT_EQ(pair.guest().Complete(0, {}), SendResult::kOk);  // a host may number so
  EXPECT_EQ(pair.guest().counters().packets_out, 1u);
}

TEST_F(ChannelTest, AbandonedRequestDoesNotEndAndItsAnswerIsDropped) {
  HostAnswers("nobody..");
  Start();
  {
    RecordingRequest gone;
    ASSERT_EQ(Ask(gone), SendResult::kOk);
    pair.guest().AbandonRequest(gone);
    EXPECT_TRUE(gone.ends.empty());
  }
  ASSERT_TRUE(pair.RunFor(seconds(61)));
  EXPECT_EQ(pair.guest().requests().counters().late_answers, 1u);
  EXPECT_FALSE(pair.guest().closed());
}

TEST_F(ChannelTest, AChannelThatNeverStartedCloses) {
  ASSERT_EQ(Ask(requests[0]), SendResult::kOk);
  pair.guest().Close(absl::CancelledError("never mind"));
  EXPECT_EQ(requests[0].ends, std::vector{RequestEnd::kClosed});
  pair.guest().Start(guest);  // too late: nothing comes
  ASSERT_TRUE(pair.Run());
  EXPECT_TRUE(guest.closed.empty());
}

TEST_F(ChannelTest, ShowsItselfInTheInspectTree) {
  HostAnswers("");
  Start();
  ASSERT_EQ(Ask(requests[0]), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  ASSERT_EQ(Ask(requests[1]), SendResult::kOk);
  InspectNode node;
  pair.guest().Inspect(node);
  const InspectNode* table = node.Find("requests");
  ASSERT_NE(table, nullptr);
  auto value = [](const InspectNode& node, std::string_view name) {
    for (const auto& [key, value] : node.values()) {
      if (key == name) return std::get<uint64_t>(value);
    }
    return ~uint64_t{0};
  };
  EXPECT_EQ(value(node, "packets_out"), 2u);
  EXPECT_EQ(value(node, "packets_in"), 1u);
  EXPECT_EQ(value(*table, "slots"), 256u);
  EXPECT_EQ(value(*table, "outstanding"), 1u);
  EXPECT_EQ(value(*table, "completed"), 1u);
}

class CountingTap : public PacketTap {
 public:
  void OnIncoming(const Channel&, const Packet& packet) override {
    incoming.push_back(packet.transaction_id);
  }
  void OnOutgoing(const Channel&, const OutgoingPacket& packet) override {
    outgoing.push_back(packet.transaction_id);
  }
  std::vector<uint64_t> incoming;
  std::vector<uint64_t> outgoing;
};

TEST_F(ChannelTest, TapSeesBothDirectionsUntilTakenAway) {
  CountingTap tap;
  HostAnswers("");
  Start();
  pair.guest().SetTap(&tap);
  ASSERT_EQ(Ask(requests[0]), SendResult::kOk);
  ASSERT_EQ(pair.guest().Send({.transaction_id = 77}), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  pair.guest().SetTap(nullptr);
  ASSERT_EQ(pair.guest().Send({.transaction_id = 78}), SendResult::kOk);
  EXPECT_EQ(tap.outgoing, (std::vector<uint64_t>{1, 77}));
  EXPECT_EQ(tap.incoming, std::vector<uint64_t>{1});
}

}  // namespace
}  // namespace vmbuskit
