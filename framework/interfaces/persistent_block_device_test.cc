#include "framework/interfaces/persistent_block_device.h"

#include <chrono>
#include <deque>
#include <memory>
#include <vector>

#include "framework/interfaces/block_completions.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/allocation_counter.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

using testing::HasSubstr;

// Holds what it is given until the test ends it.
class HeldDevice final : public BlockDevice {
 public:
  explicit HeldDevice(std::string id = "disk", uint64_t bytes = 1 << 20) : bytes_(bytes) {
    info_.id = id;
  }
  const BlockInfo& info() const override { return info_; }
  uint64_t bytes() const override { return bytes_; }
  std::unique_ptr<BlockQueue> OpenQueue(Executor& executor) override {
    return std::make_unique<Queue>(*this, executor);
  }
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override {
    return BlockBuffer::OfHeap(bytes);
  }

  // Ends all that is held; from now on everything ends at once if `also_later`.
  void EndAll(BlockResult result, bool also_later = false) {
    at_once_ = also_later;
    later_ = result;
    for (Queue* queue : queues_) queue->EndAll(result);
  }
  uint32_t submitted = 0;
  BlockInfo info_;
  uint32_t queues_open() const { return static_cast<uint32_t>(queues_.size()); }

 private:
  class Queue final : public BlockQueue {
   public:
    Queue(HeldDevice& device, Executor& executor) : device_(device), completions_(executor) {
      device_.queues_.push_back(this);
    }
    ~Queue() override {
      EXPECT_TRUE(held_.empty());
      std::erase(device_.queues_, this);
    }
    void Submit(BlockRequest& request) override {
      ++device_.submitted;
      if (device_.at_once_) return completions_.End(request, device_.later_);
      held_.push_back(request);
    }
    void EndAll(BlockResult result) {
      while (!held_.empty()) {
        BlockRequest& request = held_.front();
        held_.pop_front();
        completions_.End(request, result);
      }
    }

   private:
    HeldDevice& device_;
    boost::intrusive::list<BlockRequest> held_;
    BlockCompletions completions_;
  };

  const uint64_t bytes_;
  bool at_once_ = false;
  BlockResult later_ = BlockResult::kOk;
  std::vector<Queue*> queues_;
};

struct TestRequest final : BlockRequest {
  void OnDone(BlockResult with) override {
    last = with;
    ++ended;
  }
  int ended = 0;
  BlockResult last = BlockResult::kInvalid;
};

class PersistentBlockDeviceTest : public testing::Test {
 protected:
  PersistentBlockDeviceTest() : executor_(sim_.NewExecutor(0)) {
    const SimTurn turn = sim_.Enter(executor_);
    queue_ = disk_.OpenQueue(executor_);
  }
  ~PersistentBlockDeviceTest() override {
    const SimTurn turn = sim_.Enter(executor_);
    queue_.reset();
  }
  void Submit(TestRequest& request) {
    const SimTurn turn = sim_.Enter(executor_);
    queue_->Submit(request);
  }
  void End(HeldDevice& device, BlockResult result, bool also_later = false) {
    {
      const SimTurn turn = sim_.Enter(executor_);
      device.EndAll(result, also_later);
    }
    Run();
  }
  void Run(Duration duration = std::chrono::milliseconds(1)) {
    ASSERT_EQ(sim_.RunFor(duration), absl::OkStatus());
  }

  SimScheduler sim_{0};
  SimExecutor& executor_;
  std::shared_ptr<HeldDevice> first_ = std::make_shared<HeldDevice>();
  std::shared_ptr<HeldDevice> second_ = std::make_shared<HeldDevice>();
  PersistentBlockDevice disk_{first_, {.absence_max = std::chrono::seconds(60), .queue_depth = 4}};
  std::unique_ptr<BlockQueue> queue_;
};

TEST_F(PersistentBlockDeviceTest, WhatEndsIsHandedOn) {
  TestRequest request;
  Submit(request);
  EXPECT_EQ(request.ended, 0);
  End(*first_, BlockResult::kMediumError);
  EXPECT_EQ(request.ended, 1);
  EXPECT_EQ(request.last, BlockResult::kMediumError);
}

TEST_F(PersistentBlockDeviceTest, WhatEndedWithTheOldDeviceIsDoneByTheNext) {
  TestRequest before, meanwhile;
  Submit(before);
  disk_.Detach();
  Run();
  Submit(meanwhile);
  EXPECT_EQ(first_->submitted, 1u) << "nothing new for a device that goes";
  End(*first_, BlockResult::kGone);
  EXPECT_EQ(first_->queues_open(), 0u);
  EXPECT_EQ(before.ended + meanwhile.ended, 0);

  EXPECT_EQ(disk_.Attach(second_), absl::OkStatus());
  Run();
  EXPECT_EQ(second_->submitted, 2u);
  End(*second_, BlockResult::kOk);
  EXPECT_EQ(before.last, BlockResult::kOk);
  EXPECT_EQ(meanwhile.last, BlockResult::kOk);
  EXPECT_EQ(before.ended + meanwhile.ended, 2);
}

TEST_F(PersistentBlockDeviceTest, TheDeviceMayBeReplacedBeforeItEndedEverything) {
  TestRequest request;
  Submit(request);
  EXPECT_EQ(disk_.Attach(second_), absl::OkStatus());
  Run();
  EXPECT_EQ(second_->submitted, 0u);
  End(*first_, BlockResult::kGone);
  EXPECT_EQ(second_->submitted, 1u);
  End(*second_, BlockResult::kOk);
  EXPECT_EQ(request.last, BlockResult::kOk);
}

TEST_F(PersistentBlockDeviceTest, ADeviceThatSaysItIsGoneIsNotAskedAgain) {
  TestRequest first, second;
  Submit(first);
  End(*first_, BlockResult::kGone, /*also_later=*/true);
  Submit(second);
  Run();
  EXPECT_EQ(first_->submitted, 1u);
  EXPECT_EQ(disk_.Attach(second_), absl::OkStatus());
  Run();
  End(*second_, BlockResult::kOk);
  EXPECT_EQ(first.ended + second.ended, 2);
}

TEST_F(PersistentBlockDeviceTest, WhatWasAbortedIsTriedAgainButNotForEver) {
  TestRequest request;
  Submit(request);
  End(*first_, BlockResult::kAborted, /*also_later=*/true);
  EXPECT_EQ(first_->submitted, 8u);
  EXPECT_EQ(request.last, BlockResult::kAborted);
}

TEST_F(PersistentBlockDeviceTest, LostMemoryIsHandedOn) {
  TestRequest request;
  Submit(request);
  End(*first_, BlockResult::kLost);
  EXPECT_EQ(request.last, BlockResult::kLost);
}

TEST_F(PersistentBlockDeviceTest, WhatWaitsTooLongEndsAlsoBehindAFullQueue) {
  disk_.Detach();
  Run();
  std::vector<TestRequest> requests(10);
  for (TestRequest& request : requests) Submit(request);
  Run(std::chrono::seconds(59));
  for (const TestRequest& request : requests) EXPECT_EQ(request.ended, 0);
  Run(std::chrono::seconds(2));
  for (const TestRequest& request : requests) {
    EXPECT_EQ(request.ended, 1);
    EXPECT_EQ(request.last, BlockResult::kGone);
  }
}

// A hostile host answers for its disk, but says that there is none whenever it is read: the disk goes and comes back.
TEST_F(PersistentBlockDeviceTest, ARequestThatEveryDeviceRefusesEndsInTheEnd) {
  TestRequest request;
  Submit(request);
  int rounds = 0;
  for (; rounds < 600 && request.ended == 0; ++rounds) {
    End(*first_, BlockResult::kGone);
    disk_.Detach();
    Run(std::chrono::milliseconds(100));
    EXPECT_EQ(disk_.Attach(first_), absl::OkStatus());
    Run(std::chrono::milliseconds(900));
  }
  EXPECT_EQ(request.ended, 1);
  EXPECT_EQ(request.last, BlockResult::kGone);
  EXPECT_NEAR(rounds, 60, 2) << "a second each, absence_max in all";

  TestRequest other;
  Submit(other);
  End(*first_, BlockResult::kGone);
  EXPECT_EQ(other.ended, 0) << "each has its own time";
  disk_.Detach();
  Run();
  EXPECT_EQ(disk_.Attach(second_), absl::OkStatus());
  Run();
  End(*second_, BlockResult::kOk);
  EXPECT_EQ(other.last, BlockResult::kOk);
}

TEST_F(PersistentBlockDeviceTest, MoreThanTheDepthWaitsAndNothingIsAllocated) {
  std::vector<TestRequest> requests(10);
  const uint64_t before = ThreadAllocations();
  for (TestRequest& request : requests) Submit(request);
  EXPECT_EQ(ThreadAllocations(), before);
  EXPECT_EQ(first_->submitted, 4u);
  End(*first_, BlockResult::kOk, /*also_later=*/true);
  for (const TestRequest& request : requests) EXPECT_EQ(request.last, BlockResult::kOk);
}

TEST_F(PersistentBlockDeviceTest, AnotherDiskIsRefused) {
  const auto refused = [this](std::shared_ptr<BlockDevice> device) {
    return std::string(disk_.Attach(std::move(device)).message());
  };
  EXPECT_THAT(refused(std::make_shared<HeldDevice>("other")),
              HasSubstr("its id is other, was disk"));
  EXPECT_THAT(refused(std::make_shared<HeldDevice>("disk", 4096)),
              HasSubstr("its size is 4096, was 1048576"));
  EXPECT_EQ(disk_.Attach(std::make_shared<HeldDevice>("disk", 2 << 20)), absl::OkStatus())
      << "it may have grown";
  EXPECT_EQ(disk_.bytes(), 2u << 20);
}

TEST_F(PersistentBlockDeviceTest, ADeviceThatDoesLessThanWasToldIsRefusedOneThatDoesMoreIsNot) {
  const auto full = std::make_shared<HeldDevice>();
  full->info_.physical_block_bytes = 4096;
  full->info_.force_unit_access = full->info_.discard = full->info_.write_zeroes = true;
  full->info_.discard_bytes_max = full->info_.write_zeroes_bytes_max = 1 << 20;
  full->info_.id = "disk";
  PersistentBlockDevice disk(full, {});
  const auto with = [&](auto change) {
    auto device = std::make_shared<HeldDevice>();
    device->info_ = full->info_;
    change(device->info_);
    return std::string(disk.Attach(device).message());
  };
  EXPECT_THAT(with([](BlockInfo& info) { info.volatile_cache = true; }), HasSubstr("cache"));
  EXPECT_THAT(with([](BlockInfo& info) { info.force_unit_access = false; }), HasSubstr("forced"));
  EXPECT_THAT(with([](BlockInfo& info) { info.discard = false; }), HasSubstr("discard"));
  EXPECT_THAT(with([](BlockInfo& info) { info.write_zeroes = false; }), HasSubstr("zeroes"));
  EXPECT_THAT(with([](BlockInfo& info) { info.read_only = true; }), HasSubstr("read-only"));
  EXPECT_THAT(with([](BlockInfo& info) { info.physical_block_bytes = 8192; }),
              HasSubstr("physical block size is 8192, was 4096"));
  EXPECT_THAT(with([](BlockInfo& info) { info.discard_bytes_max = 4096; }),
              HasSubstr("most bytes to discard is 4096"));
  EXPECT_THAT(with([](BlockInfo& info) { info.write_zeroes_bytes_max = 4096; }),
              HasSubstr("most bytes of zeroes is 4096"));
  full->info_.physical_block_bytes = 512;
  EXPECT_EQ(disk_.Attach(full), absl::OkStatus())
      << "the first device of disk_ did nothing of this";
}

TEST_F(PersistentBlockDeviceTest, TheSameDeviceMayComeBackBeforeAnybodyLooked) {
  TestRequest request;
  Submit(request);
  End(*first_, BlockResult::kGone);
  disk_.Detach();
  EXPECT_EQ(disk_.Attach(first_), absl::OkStatus());
  Run();
  EXPECT_EQ(first_->submitted, 2u);
  End(*first_, BlockResult::kOk);
  EXPECT_EQ(request.last, BlockResult::kOk);
}

TEST_F(PersistentBlockDeviceTest, WhileTheDeviceIsAwayThereAreBuffersAllTheSame) {
  EXPECT_TRUE(disk_.AllocateBuffer(4096).ok());
  disk_.Detach();
  const absl::StatusOr<BlockBuffer> buffer = disk_.AllocateBuffer(4096);
  ASSERT_TRUE(buffer.ok()) << "a client that connects meanwhile waits, it does not fail";
  EXPECT_EQ(buffer->bytes().size(), 4096u);
  EXPECT_EQ(buffer->gpa(), BlockSegment::kNoGpa);
}

}  // namespace
}  // namespace vmbuskit
