// Options::answer_bytes: no packet is delivered before its answer surely fits.
#include <string>
#include <vector>

#include "framework/channel/channel.h"
#include "framework/channel/channel_pair.h"
#include "framework/channel/recording.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kPackets = 5000;

// A host that sends as fast as the ring takes it and reads answers whenever it runs; a guest that answers each packet
// with 200 bytes into a ring that holds less than twenty of these.
class AnswerTest : public testing::TestWithParam<uint64_t> {
 protected:
  void Make(uint32_t answer_bytes) {
    ChannelPair::Options options;
    options.seed = GetParam();
    options.up_bytes = 4096;
    options.down_bytes = 16 * 1024;
    options.guest.answer_bytes = answer_bytes;
    pair_ = std::make_unique<ChannelPair>(options);
    guest_.keep_packets = host_.keep_packets = false;
    guest_.on_packet = [this](Channel& channel, const Packet& packet) {
      const SendResult result =
          channel.Send({.transaction_id = packet.transaction_id, .payload = answer_});
      refused_ += result == SendResult::kFull;
      if (extra_sends_) refused_extras_ += channel.Send({.payload = large_}) != SendResult::kOk;
    };
    host_.on_packet = [this](Channel&, const Packet& packet) {
      if (packet.payload.size() != answer_.size()) return;
      in_order_ = in_order_ && packet.transaction_id == answered_;
      ++answered_;
    };
    host_.on_writable = [this](Channel& channel) { Flood(channel); };
    pair_->guest().Start(guest_);
    pair_->host().Start(host_);
    const SimTurn turn = pair_->sim().Enter(static_cast<SimExecutor&>(pair_->host_executor()));
    Flood(pair_->host());
  }
  void Flood(Channel& channel) {
    for (; sent_ < kPackets; ++sent_) {
      if (channel.Send({.transaction_id = sent_, .payload = question_}) != SendResult::kOk) return;
    }
  }

  const std::vector<std::byte> question_ = std::vector<std::byte>(16);
  const std::vector<std::byte> answer_ = std::vector<std::byte>(200);
  const std::vector<std::byte> large_ = std::vector<std::byte>(1600);
  bool extra_sends_ = false;
  uint32_t sent_ = 0;
  uint32_t answered_ = 0;
  uint32_t refused_ = 0;
  uint32_t refused_extras_ = 0;
  bool in_order_ = true;
  RecordingHandler guest_;
  RecordingHandler host_;
  std::unique_ptr<ChannelPair> pair_;
};

TEST_P(AnswerTest, WithoutItAFloodLosesAnswers) {
  Make(0);
  ASSERT_TRUE(pair_->Run());
  EXPECT_EQ(guest_.packet_count, kPackets);
  EXPECT_GT(refused_, 0u);
  EXPECT_LT(answered_, kPackets);
}

TEST_P(AnswerTest, WithItEveryPacketIsAnsweredInOrder) {
  Make(200);
  ASSERT_TRUE(pair_->Run());
  EXPECT_EQ(guest_.packet_count, kPackets);
  EXPECT_EQ(refused_, 0u);
  EXPECT_EQ(answered_, kPackets);
  EXPECT_TRUE(in_order_);
}

TEST_P(AnswerTest, OtherPacketsMayFillTheRingMeanwhile) {
  extra_sends_ = true;
  Make(200);
  ASSERT_TRUE(pair_->Run());
  EXPECT_EQ(refused_, 0u);
  EXPECT_GT(refused_extras_, 0u);
  EXPECT_EQ(answered_, kPackets);
}

TEST_P(AnswerTest, AnAnswerLargerThanTheRingDoesNotStallForEver) {
  Make(100'000);
  ASSERT_TRUE(pair_->Run());
  EXPECT_EQ(answered_, kPackets);
}

TEST_P(AnswerTest, StalledChannelClosesLikeAnyOther) {
  Make(200);
  {
    // The host reads nothing any more: the guest stalls after a few answers.
    const SimTurn turn = pair_->sim().Enter(static_cast<SimExecutor&>(pair_->host_executor()));
    pair_->host().Close(absl::CancelledError("the host stops"));
  }
  ASSERT_TRUE(pair_->Run());
  EXPECT_LT(guest_.packet_count, 40u);
  EXPECT_EQ(refused_, 0u);
  const SimTurn turn = pair_->sim().Enter(static_cast<SimExecutor&>(pair_->guest_executor()));
  pair_->guest().Close(absl::CancelledError("test ends"));
  EXPECT_EQ(guest_.closed.size(), 1u);
}

TEST_P(AnswerTest, APeerThatLiesAboutItsReadIndexWhileWeWaitFailsTheChannel) {
  Make(200);
  {
    const SimTurn turn = pair_->sim().Enter(static_cast<SimExecutor&>(pair_->host_executor()));
    pair_->host().Close(absl::CancelledError("the host stops"));
  }
  ASSERT_TRUE(pair_->Run());
  pair_->up().words().read_index = 4;  // not a multiple of 8
  pair_->guest().wake().Signal();
  ASSERT_TRUE(pair_->Run());
  EXPECT_TRUE(pair_->guest().closed());
  EXPECT_NE(std::string(pair_->guest().reason().message()).find("read_index is 4"),
            std::string::npos);
}

// Found by channel_fuzz: it waited until its deadline, for nobody tells it of the answer's room.
TEST_P(AnswerTest, NobodyWhoWasNotRefusedWaitsForTheRoomOfAnAnswer) {
  Make(200);
  {
    const SimTurn turn = pair_->sim().Enter(static_cast<SimExecutor&>(pair_->host_executor()));
    pair_->host().Close(absl::CancelledError("the host stops"));
  }
  ASSERT_TRUE(pair_->Run());  // stalled now
  const SimTurn turn = pair_->sim().Enter(static_cast<SimExecutor&>(pair_->guest_executor()));
  EXPECT_TRUE(pair_->guest().Writable(pair_->sim().Now()).await_ready());
  EXPECT_EQ(pair_->guest().Send({.payload = large_}), SendResult::kFull);
  EXPECT_FALSE(pair_->guest().Writable(pair_->sim().Now()).await_ready());
}

INSTANTIATE_TEST_SUITE_P(Seeds, AnswerTest, testing::Range<uint64_t>(0, 5));

}  // namespace
}  // namespace vmbuskit
