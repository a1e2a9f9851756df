// Back-pressure by not reading: nothing is delivered, nothing is lost, nobody signals in vain.
#include "framework/channel/channel.h"
#include "framework/channel/channel_pair.h"
#include "framework/channel/recording.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

class PauseTest : public testing::TestWithParam<uint64_t> {
 protected:
  PauseTest() : pair({.seed = GetParam()}) {}

  void GuestSends(int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(pair.guest().Send({.payload = TextBytes("12345678")}), SendResult::kOk);
    }
  }

  RecordingHandler guest;
  RecordingHandler host;
  ChannelPair pair;
};

TEST_P(PauseTest, NothingIsDeliveredFromTheMiddleOfADrainUntilReadingGoesOn) {
  host.on_packet = [](Channel& channel, const Packet&) { channel.PauseReading(); };
  pair.guest().Start(guest);
  pair.host().Start(host);
  GuestSends(3);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 1u);
  EXPECT_EQ(host.drained, 1u);
  EXPECT_TRUE(pair.host().reading_paused());
  for (uint64_t count = 2; count <= 3; ++count) {
    pair.host().ResumeReading();
    ASSERT_TRUE(pair.Run());
    EXPECT_EQ(host.packet_count, count) << "each delivery pauses again";
  }
}

TEST_P(PauseTest, APausedReaderIsNotSignalledAndItsPeerFindsTheRingFull) {
  pair.host().PauseReading();
  pair.guest().Start(guest);
  pair.host().Start(host);
  ASSERT_TRUE(pair.Run());
  uint64_t sent = 0;
  while (pair.guest().Send({.payload = TextBytes("12345678")}) == SendResult::kOk) {
    ++sent;
    ASSERT_TRUE(pair.Run());
  }
  EXPECT_EQ(pair.guest().counters().signals_sent, 0u) << "masked";
  EXPECT_EQ(pair.host().counters().empty_wakeups, 0u);
  EXPECT_EQ(host.packet_count, 0u);
  EXPECT_EQ(guest.writable, 0u);
  pair.host().ResumeReading();
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, sent);
  EXPECT_EQ(guest.writable, 1u);
  GuestSends(1);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, sent + 1) << "unmasked again";
}

TEST_P(PauseTest, APauseBetweenDrainsHoldsWhatIsSignalledAfterIt) {
  pair.guest().Start(guest);
  pair.host().Start(host);
  ASSERT_TRUE(pair.Run());
  pair.host().PauseReading();
  GuestSends(2);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 0u);
  EXPECT_EQ(pair.host().counters().empty_wakeups, 0u) << "not the guest's fault";
  pair.host().ResumeReading();
  pair.host().ResumeReading();
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 2u);
}

TEST_P(PauseTest, WhatIsSentWhilePausedGoesOutAndSpaceIsOffered) {
  pair.guest().Start(guest);
  pair.host().Start(host);
  pair.host().PauseReading();
  GuestSends(1);
  guest.on_packet = [](Channel&, const Packet&) {};
  guest.keep_packets = false;
  uint64_t sent = 0;
  while (pair.host().Send({.payload = TextBytes("12345678")}) == SendResult::kOk) ++sent;
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.packet_count, sent);
  EXPECT_EQ(host.writable, 1u);
  EXPECT_EQ(host.packet_count, 0u);
}

TEST_P(PauseTest, APausedChannelClosesLikeAnyOther) {
  pair.guest().Start(guest);
  pair.host().Start(host);
  pair.host().PauseReading();
  GuestSends(1);
  ASSERT_TRUE(pair.Run());
  pair.host().Close(absl::CancelledError("done"));
  pair.host().ResumeReading();
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 0u);
  EXPECT_EQ(host.closed.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PauseTest, testing::Range<uint64_t>(0, 5));

}  // namespace
}  // namespace vmbuskit
