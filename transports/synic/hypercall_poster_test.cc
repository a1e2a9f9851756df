// Posting: the bytes, the order, and the patience that the reference asks for.
#include "transports/synic/hypercall_poster.h"

#include <gtest/gtest.h>

#include "framework/base/hex.h"
#include "platform/linux/memfd_memory.h"
#include "platform/page_allocator.h"
#include "platform/sim/scheduler.h"
#include "transports/protocol/contact.h"
#include "transports/protocol/messages.h"
#include "transports/synic/fake_partition.h"

namespace vmbuskit {
namespace {

using enum HypercallStatus;

class HypercallPosterTest : public testing::Test, public HypercallPoster::Listener {
 protected:
  HypercallPosterTest() { Make({}); }
  ~HypercallPosterTest() override { poster_->Stop(); }

  void Make(HypercallPoster::Options options) {
    if (poster_ != nullptr) poster_->Stop();
    poster_ = std::make_unique<HypercallPoster>(partition_, 0, cpu_, options, *this);
    EXPECT_TRUE(poster_->Start(pages_).ok());
    EXPECT_TRUE(partition_.WriteRegister(0, kRegHypercall, kPageRegisterEnable).ok());
    partition_.on_post = [this](uint32_t connection, std::span<const std::byte> message) {
      posted_.push_back({connection, ToHex(message)});
      return kSuccess;
    };
  }
  void OnPostFailed(bool contact, HypercallStatus status) override {
    failures_.push_back({contact, status});
    if (on_failure_) on_failure_();
  }
  MessageBuffer Close(uint32_t relid) { return Emit(CloseChannelMessage{.relid = relid}); }

  std::unique_ptr<MemfdMemory> memory_ = *MemfdMemory::Create({.page_count = 16});
  FirstFitPageAllocator pages_{*memory_, 1, 15};
  FakePartition partition_{*memory_, 1};
  SimScheduler sim_{0};
  SimExecutor& cpu_ = sim_.NewExecutor(0);
  std::vector<std::pair<uint32_t, std::string>> posted_;
  std::vector<std::pair<bool, HypercallStatus>> failures_;
  std::function<void()> on_failure_;
  std::unique_ptr<HypercallPoster> poster_;
};

TEST_F(HypercallPosterTest, InputPageIsTheReferenceVector) {
  const Contact contact{
      .version = kVersion5_2, .parent_to_child = 0x11000, .child_to_parent = 0x12000};
  ASSERT_TRUE(poster_->Post(4, EmitContact(contact), true).ok());
  const std::vector<std::byte> expected = FromHex(
      "04 00 00 00 00 00 00 00 01 00 00 00 28 00 00 00 "
      "0e 00 00 00 00 00 00 00 02 00 05 00 00 00 00 00 "
      "02 00 00 00 00 00 00 00 00 10 01 00 00 00 00 00 "
      "00 20 01 00 00 00 00 00 00 00 00 00 00 00 00 00");
  const std::span<std::byte> page = *memory_->Translate(pages_.allocated() * kPageSize, 64);
  EXPECT_EQ(ToHex(page), ToHex(expected));
  EXPECT_EQ(poster_->counters().posted, 1u);
}

TEST_F(HypercallPosterTest, AFullHostIsAskedAgainInOrder) {
  partition_.post_statuses = {kInsufficientBuffers, kInsufficientMemory, kInvalidConnectionId};
  ASSERT_TRUE(poster_->Post(1, Close(1), false).ok());
  ASSERT_TRUE(poster_->Post(1, Close(2), false).ok());
  EXPECT_EQ(poster_->queued(), 2u);
  EXPECT_TRUE(posted_.empty());
  // 1 us, 2 us, 4 us.
  ASSERT_TRUE(sim_.RunFor(std::chrono::microseconds(6)).ok());
  EXPECT_TRUE(posted_.empty());
  ASSERT_TRUE(sim_.RunFor(std::chrono::microseconds(1)).ok());
  ASSERT_EQ(posted_.size(), 2u);
  EXPECT_EQ(posted_[0].second.substr(24), "01 00 00 00");
  EXPECT_EQ(posted_[1].second.substr(24), "02 00 00 00");
  EXPECT_EQ(poster_->counters().retries, 3u);
  EXPECT_TRUE(failures_.empty());
}

TEST_F(HypercallPosterTest, GivesUpAfterAHundredTriesAndGoesOn) {
  partition_.post_statuses.assign(100, kInsufficientBuffers);
  ASSERT_TRUE(poster_->Post(1, Close(1), false).ok());
  ASSERT_TRUE(poster_->Post(1, Close(2), false).ok());
  const Instant start = sim_.Now();
  ASSERT_TRUE(sim_.RunUntil([&] { return !failures_.empty(); }, std::chrono::seconds(200)));
  EXPECT_EQ(failures_.size(), 1u);
  EXPECT_EQ(failures_[0].second, kInsufficientBuffers);
  // 2^0 + ... + 2^20 us, then 78 times 2^21 us.
  EXPECT_EQ(sim_.Now() - start, std::chrono::microseconds((1 << 21) - 1 + 78 * (int64_t{1} << 21)));
  EXPECT_EQ(poster_->counters().retries, 99u);
  ASSERT_EQ(posted_.size(), 1u);
  EXPECT_EQ(posted_[0].second.substr(24), "02 00 00 00");
}

TEST_F(HypercallPosterTest, AContactStopsAtAnUnknownConnection) {
  partition_.post_statuses = {kInvalidConnectionId, kInvalidConnectionId};
  ASSERT_TRUE(poster_->Post(4, Close(1), true).ok());
  ASSERT_EQ(failures_.size(), 1u);
  EXPECT_TRUE(failures_[0].first);
  EXPECT_EQ(failures_[0].second, kInvalidConnectionId);
  EXPECT_EQ(partition_.post_statuses.size(), 1u);
}

TEST_F(HypercallPosterTest, OtherStatusesAreFinal) {
  for (HypercallStatus status : {kAccessDenied, kOperationDenied, kInvalidParameter, kTimeout}) {
    failures_.clear();
    partition_.post_statuses = {status};
    ASSERT_TRUE(poster_->Post(1, Close(1), false).ok());
    ASSERT_EQ(failures_.size(), 1u);
    EXPECT_EQ(failures_[0].second, status);
  }
  EXPECT_EQ(poster_->counters().retries, 0u);
}

TEST_F(HypercallPosterTest, TheListenerMayPostTheNextTry) {
  partition_.post_statuses = {kInvalidConnectionId, kInsufficientBuffers};
  on_failure_ = [this] { EXPECT_TRUE(poster_->Post(1, Close(9), false).ok()); };
  ASSERT_TRUE(poster_->Post(4, Close(1), true).ok());
  EXPECT_EQ(poster_->counters().retries, 1u);  // once, not in a nested loop as well
  ASSERT_TRUE(sim_.RunFor(std::chrono::microseconds(1)).ok());
  ASSERT_EQ(posted_.size(), 1u);
  EXPECT_EQ(posted_[0].first, 1u);
}

TEST_F(HypercallPosterTest, TheQueueIsBoundedAndCanBeCleared) {
  Make({.queue_messages_max = 2});
  partition_.post_statuses = {kInsufficientBuffers};
  ASSERT_TRUE(poster_->Post(1, Close(1), false).ok());
  ASSERT_TRUE(poster_->Post(1, Close(2), false).ok());
  EXPECT_EQ(poster_->free_slots(), 0u);
  EXPECT_EQ(poster_->Post(1, Close(3), false).code(), absl::StatusCode::kResourceExhausted);
  poster_->Clear();
  ASSERT_TRUE(sim_.RunFor(std::chrono::seconds(1)).ok());
  EXPECT_TRUE(posted_.empty());
  EXPECT_EQ(poster_->PostAtOnce(1, Close(4)), kSuccess);
  EXPECT_EQ(posted_.size(), 1u);
}

}  // namespace
}  // namespace vmbuskit
