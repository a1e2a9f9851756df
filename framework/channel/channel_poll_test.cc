// Stories about channels that are polled: no signal is asked for or needed, and none is lost when the mode changes.
#include <string>

#include "framework/channel/channel_pair.h"
#include "framework/channel/recording.h"
#include "gtest/gtest.h"
#include "platform/random.h"

namespace vmbuskit {
namespace {

using std::chrono::microseconds;

class ChannelPollTest : public testing::Test {
 protected:
  void Start() {
    pair.guest().Start(guest);
    pair.host().Start(host);
    ASSERT_TRUE(pair.Run());
    pair.to_guest().TakeRaised();
    pair.to_host().TakeRaised();
  }
  void Step() { ASSERT_TRUE(pair.RunFor(microseconds(5))); }

  RecordingHandler guest;
  RecordingHandler host;
  ChannelPair pair;
};

TEST_F(ChannelPollTest, PacketsArriveWithoutASignal) {
  Start();
  pair.guest().SetPolled(true);
  EXPECT_TRUE(pair.guest().polled());
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(pair.host().Send({.payload = TextBytes("hello")}), SendResult::kOk);
    Step();
    ASSERT_EQ(guest.packet_count, i + 1u);
  }
  EXPECT_EQ(pair.to_guest().TakeRaised(), 0u);
  EXPECT_EQ(pair.guest().counters().wakeups, 0u);
}

TEST_F(ChannelPollTest, WhatLayThereBeforeIsFound) {
  Start();
  pair.to_guest().Drop(1);
  ASSERT_EQ(pair.host().Send({.payload = TextBytes("lost signal")}), SendResult::kOk);
  Step();
  EXPECT_EQ(guest.packet_count, 0u);
  pair.guest().SetPolled(true);
  Step();
  EXPECT_EQ(guest.packet_count, 1u);
}

TEST_F(ChannelPollTest, RequestsGoRoundWithoutASignalWhenBothEndsPoll) {
  host.on_packet = [](Channel& channel, const Packet& packet) {
    EXPECT_EQ(channel.Complete(packet.transaction_id, packet.payload), SendResult::kOk);
  };
  Start();
  pair.guest().SetPolled(true);
  pair.host().SetPolled(true);
  for (int i = 0; i < 50; ++i) {
    RecordingRequest request;
    ASSERT_EQ(
        pair.guest().SendRequest({.payload = TextBytes("question")}, request, kInfiniteFuture),
        SendResult::kOk);
    Step();
    ASSERT_EQ(request.ends, std::vector{RequestEnd::kCompleted});
  }
  EXPECT_EQ(pair.to_guest().TakeRaised() + pair.to_host().TakeRaised(), 0u);
}

TEST_F(ChannelPollTest, TheModeMayBeSetBeforeTheStart) {
  pair.guest().SetPolled(true);
  Step();
  Start();
  ASSERT_EQ(pair.host().Send({.payload = TextBytes("hello")}), SendResult::kOk);
  Step();
  EXPECT_EQ(guest.packet_count, 1u);
  EXPECT_EQ(pair.to_guest().TakeRaised(), 0u);
}

TEST_F(ChannelPollTest, BackToSignalsNothingThatCameMeanwhileIsForgotten) {
  Start();
  pair.guest().SetPolled(true);
  Step();
  ASSERT_EQ(pair.host().Send({.payload = TextBytes("one")}), SendResult::kOk);
  pair.guest().SetPolled(false);  // before the poller's next turn
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.packet_count, 1u);
  EXPECT_EQ(pair.to_guest().TakeRaised(), 0u);
  ASSERT_EQ(pair.host().Send({.payload = TextBytes("two")}), SendResult::kOk);
  EXPECT_EQ(pair.to_guest().TakeRaised(), 1u);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.packet_count, 2u);
}

TEST_F(ChannelPollTest, AHandlerMayChangeTheMode) {
  Start();
  guest.on_packet = [](Channel& channel, const Packet&) { channel.SetPolled(!channel.polled()); };
  for (uint32_t i = 0; i < 10; ++i) {
    ASSERT_EQ(pair.host().Send({.payload = TextBytes("toggle")}), SendResult::kOk);
    Step();
    ASSERT_EQ(guest.packet_count, i + 1);
    ASSERT_EQ(pair.guest().polled(), i % 2 == 0);
  }
}

TEST_F(ChannelPollTest, RoomInAFullRingIsFoundWithoutASignal) {
  Start();
  pair.host().SetPolled(true);
  pair.guest().SetPolled(true);
  pair.host().PauseReading();
  const std::string large(2000, 'x');
  uint32_t sent = 0;
  guest.on_writable = [&](Channel& channel) {
    if (channel.Send({.payload = TextBytes(large)}) == SendResult::kOk) ++sent;
  };
  while (pair.guest().Send({.payload = TextBytes(large)}) == SendResult::kOk) ++sent;
  EXPECT_GE(sent, 7u);
  Step();
  EXPECT_EQ(guest.writable, 0u);
  pair.to_guest().Drop(1000);
  pair.host().ResumeReading();
  Step();
  Step();
  EXPECT_EQ(guest.writable, 1u);
  EXPECT_EQ(host.packet_count, sent);
}

TEST_F(ChannelPollTest, PausedReadingStaysPaused) {
  Start();
  pair.guest().SetPolled(true);
  pair.guest().PauseReading();
  ASSERT_EQ(pair.host().Send({.payload = TextBytes("hello")}), SendResult::kOk);
  Step();
  EXPECT_EQ(guest.packet_count, 0u);
  pair.guest().ResumeReading();
  Step();
  EXPECT_EQ(guest.packet_count, 1u);
}

TEST_F(ChannelPollTest, AViolationEndsThePolling) {
  Start();
  pair.guest().SetPolled(true);
  Step();
  pair.down().words().write_index = 12345;
  Step();
  EXPECT_TRUE(pair.guest().closed());
  EXPECT_EQ(guest.closed.size(), 1u);
  EXPECT_TRUE(pair.Run());
  pair.guest().SetPolled(false);  // nothing happens any more
  EXPECT_TRUE(pair.Run());
}

TEST_F(ChannelPollTest, ASignalOnItsWayWhenPollingBeginsIsNotCalledNeedless) {
  Start();
  ASSERT_EQ(pair.host().Send({.payload = TextBytes("hello")}), SendResult::kOk);
  EXPECT_EQ(pair.to_guest().TakeRaised(), 1u);
  pair.guest().SetPolled(true);
  Step();
  EXPECT_EQ(guest.packet_count, 1u);
  EXPECT_EQ(pair.guest().counters().empty_wakeups, 0u);
}

TEST_F(ChannelPollTest, ABudgetOfOneStillDeliversEverything) {
  ChannelPair::Options options;
  options.guest.drain_budget = 1;
  RecordingHandler slow;
  RecordingHandler peer;
  ChannelPair small(options);
  small.guest().Start(slow);
  small.host().Start(peer);
  ASSERT_TRUE(small.Run());
  small.guest().SetPolled(true);
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(small.host().Send({.payload = TextBytes("hello")}), SendResult::kOk);
  }
  ASSERT_TRUE(small.RunFor(microseconds(30)));
  EXPECT_EQ(slow.packet_count, 10u);
}

// Both ends change their minds at random moments, in a random order of turns; every request is answered in time.
TEST(ChannelPollSeeds, ModesMayChangeAtAnyMoment) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    RecordingHandler guest, host;
    guest.keep_packets = host.keep_packets = false;
    ChannelPair pair({.seed = seed, .up_bytes = 4096, .down_bytes = 4096});
    Random random(seed);
    host.on_packet = [&](Channel& channel, const Packet& packet) {
      if (random.Below(4) == 0) channel.SetPolled(!channel.polled());
      (void)channel.Complete(packet.transaction_id, packet.payload);
    };
    pair.guest().Start(guest);
    pair.host().Start(host);
    for (int round = 0; round < 20; ++round) {
      std::vector<RecordingRequest> requests(1 + random.Below(8));
      for (RecordingRequest& request : requests) {
        request.on_end = [&](RequestEnd) {
          if (random.Below(4) == 0) pair.guest().SetPolled(!pair.guest().polled());
        };
        ASSERT_EQ(
            pair.guest().SendRequest({.payload = TextBytes("question")}, request, kInfiniteFuture),
            SendResult::kOk);
        if (random.Below(3) == 0) pair.guest().SetPolled(!pair.guest().polled());
        if (random.Below(3) == 0) pair.host().SetPolled(!pair.host().polled());
      }
      ASSERT_TRUE(pair.RunFor(microseconds(50)));
      for (RecordingRequest& request : requests) ASSERT_EQ(request.ends.size(), 1u);
    }
  }
}

}  // namespace
}  // namespace vmbuskit
