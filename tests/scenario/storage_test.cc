// What the storage workload stands on: the disk that forgets and the model of what it may hold.
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "platform/sim/scheduler.h"
#include "tests/scenario/disk_model.h"
#include "tests/scenario/fault_source.h"
#include "tests/scenario/sim_disk.h"

namespace vmbuskit {
namespace {

using Kind = DiskModel::Kind;
using End = DiskModel::End;

constexpr uint32_t kBytes = 512;

class DiskModelTest : public testing::Test {
 protected:
  DiskModel::Write Written(uint64_t block, bool stable = false) {
    const DiskModel::Write write = model_.BeginWrite(Kind::kData, block, 1);
    model_.EndWrite(write, block, 1, End::kDone, stable);
    return write;
  }
  void Flush() { model_.EndFlush(model_.BeginFlush()); }
  // May `block` read as `content`, by a read that begins and ends now?
  bool MayRead(uint64_t block, uint64_t content) {
    const uint64_t read = model_.BeginRead();
    const bool may = MayRead(block, content, read);
    model_.EndRead(read);
    return may;
  }
  bool MayRead(uint64_t block, uint64_t content, uint64_t read) {
    std::array<std::byte, kBytes> bytes;
    model_.Fill(block, content, bytes);
    return model_.CheckBlock(block, bytes, read).empty();
  }

  DiskModel model_;
};

TEST_F(DiskModelTest, ABlockThatNobodyWroteIsZero) {
  EXPECT_TRUE(MayRead(3, 0));
  const auto elsewhere = Written(4);
  EXPECT_FALSE(MayRead(3, elsewhere.content));
}

TEST_F(DiskModelTest, AWriteThatEndedReplacesWhatWasThere) {
  const auto first = Written(3);
  EXPECT_TRUE(MayRead(3, first.content));
  EXPECT_FALSE(MayRead(3, 0));
  const auto second = Written(3);
  EXPECT_FALSE(MayRead(3, first.content));
  EXPECT_TRUE(MayRead(3, second.content));
}

TEST_F(DiskModelTest, WritesAtTheSameTimeLeaveEither) {
  const auto first = model_.BeginWrite(Kind::kData, 3, 2);
  const auto second = model_.BeginWrite(Kind::kData, 4, 2);
  model_.EndWrite(second, 4, 2, End::kDone, false);
  model_.EndWrite(first, 3, 2, End::kDone, false);
  EXPECT_FALSE(MayRead(3, second.content));
  EXPECT_TRUE(MayRead(4, first.content) || MayRead(4, second.content));
  EXPECT_FALSE(MayRead(4, 0));
}

TEST_F(DiskModelTest, WhatWasReadOnceIsNotFollowedByWhatWasBeforeIt) {
  const auto first = Written(3);
  const auto open = model_.BeginWrite(Kind::kData, 3, 1);
  EXPECT_TRUE(MayRead(3, open.content));
  EXPECT_FALSE(MayRead(3, first.content));
}

TEST_F(DiskModelTest, AReadMaySeeWhatIsReplacedWhileItRuns) {
  const auto first = Written(3);
  const uint64_t read = model_.BeginRead();
  const auto second = Written(3);
  EXPECT_TRUE(MayRead(3, first.content, read));
  EXPECT_TRUE(MayRead(3, second.content, read));
  model_.EndRead(read);
  EXPECT_FALSE(MayRead(3, first.content));
}

TEST_F(DiskModelTest, AWriteThatFailedMayHaveHappened) {
  const auto first = Written(3);
  const auto failed = model_.BeginWrite(Kind::kData, 3, 1);
  model_.EndWrite(failed, 3, 1, End::kFailed, false);
  EXPECT_TRUE(MayRead(3, first.content));
  EXPECT_TRUE(MayRead(3, failed.content));
  const auto last = Written(3);
  EXPECT_FALSE(MayRead(3, failed.content));
  EXPECT_TRUE(MayRead(3, last.content));
}

TEST_F(DiskModelTest, AWriteThatWasLostMayHappenUntilAllIsSettled) {
  const auto lost = model_.BeginWrite(Kind::kData, 3, 1);
  model_.EndWrite(lost, 3, 1, End::kLost, false);
  Written(3);
  EXPECT_TRUE(MayRead(3, lost.content));
  model_.Settle();
  Written(3);
  EXPECT_FALSE(MayRead(3, lost.content));
}

TEST_F(DiskModelTest, WhatWasFlushedSurvivesALossOfPower) {
  const auto first = Written(3);
  Flush();
  const auto second = Written(3);
  model_.LosePower();
  EXPECT_FALSE(MayRead(3, 0));
  const uint64_t read = model_.BeginRead();
  EXPECT_TRUE(MayRead(3, first.content, read));
  model_.EndRead(read);
  EXPECT_TRUE(MayRead(3, second.content));
}

TEST_F(DiskModelTest, AFlushCoversWhatEndedBeforeItBegan) {
  const auto write = model_.BeginWrite(Kind::kData, 3, 1);
  const uint64_t flush = model_.BeginFlush();
  model_.EndWrite(write, 3, 1, End::kDone, false);
  model_.EndFlush(flush);
  model_.LosePower();
  EXPECT_TRUE(MayRead(3, 0));
}

TEST_F(DiskModelTest, AWriteThroughTheCacheSurvivesALossOfPower) {
  const auto write = Written(3, /*stable=*/true);
  model_.LosePower();
  EXPECT_FALSE(MayRead(3, 0));
  EXPECT_TRUE(MayRead(3, write.content));
}

TEST_F(DiskModelTest, ADiscardedBlockHoldsWhatItEverHeldAndNothingElse) {
  const auto first = Written(3);
  Written(3);
  const auto discard = model_.BeginWrite(Kind::kDiscard, 3, 1);
  model_.EndWrite(discard, 3, 1, End::kDone, false);
  EXPECT_TRUE(MayRead(3, 0));
  EXPECT_TRUE(MayRead(3, first.content));
  std::array<std::byte, kBytes> foreign;
  model_.Fill(4, first.content, foreign);
  const uint64_t read = model_.BeginRead();
  EXPECT_NE(model_.CheckBlock(3, foreign, read), "");
  model_.EndRead(read);
  Written(3);
  EXPECT_FALSE(MayRead(3, 0));
}

TEST_F(DiskModelTest, ATornBlockIsNothingThatItMayHold) {
  const auto first = Written(3);
  const auto second = model_.BeginWrite(Kind::kData, 3, 1);
  std::array<std::byte, kBytes> torn;
  std::array<std::byte, kBytes> other;
  model_.Fill(3, first.content, torn);
  model_.Fill(3, second.content, other);
  std::memcpy(torn.data() + 256, other.data() + 256, 256);
  const uint64_t read = model_.BeginRead();
  EXPECT_NE(model_.CheckBlock(3, torn, read).find("torn or foreign"), std::string::npos);
  model_.EndRead(read);
}

TEST_F(DiskModelTest, ForeignBytesExcuseUntilTheNextWriteOnceAllIsSettled) {
  const auto first = Written(3);
  model_.Forget();
  Written(3);
  EXPECT_TRUE(MayRead(3, 0));
  EXPECT_TRUE(MayRead(9, first.content));
  model_.Settle();
  EXPECT_TRUE(MayRead(9, first.content));
  const auto last = Written(9);
  EXPECT_TRUE(MayRead(9, last.content));
  EXPECT_FALSE(MayRead(9, first.content));
}

class SimDiskTest : public testing::Test {
 protected:
  struct Request final : BlockRequest {
    void OnDone(BlockResult with) override { result = with, ended = true; }
    bool ended = false;
  };

  explicit SimDiskTest(const FaultPlan& plan = {}) : faults_(plan, 1, sim_, nullptr) {}

  void Open(const SimDisk::Options& options) {
    disk_ = std::make_shared<SimDisk>(faults_, options);
    queue_ = disk_->OpenQueue(cpu_);
  }
  BlockResult Do(BlockOperation operation, uint64_t block, std::byte value = {},
                 bool through = false) {
    Request request;
    bytes_.fill(value);
    const BlockSegment segment = {bytes_.data(), kBytes};
    request.operation = operation;
    request.force_unit_access = through;
    if (operation != BlockOperation::kFlush) {
      request.offset = block * kBytes, request.bytes = kBytes;
      request.segments = {&segment, 1};
    }
    queue_->Submit(request);
    EXPECT_FALSE(request.ended);
    EXPECT_TRUE(sim_.RunUntil([&] { return request.ended; }, std::chrono::minutes(5)));
    return request.result;
  }
  BlockResult Write(uint64_t block, int value, bool through = false) {
    return Do(BlockOperation::kWrite, block, std::byte(value), through);
  }
  int Read(uint64_t block) {
    EXPECT_EQ(Do(BlockOperation::kRead, block), BlockResult::kOk);
    return static_cast<int>(bytes_[kBytes - 1]);
  }

  SimScheduler sim_{7};
  SimExecutor& cpu_ = sim_.NewExecutor(0);
  FaultSource faults_;
  std::shared_ptr<SimDisk> disk_;
  std::unique_ptr<BlockQueue> queue_;
  std::array<std::byte, kBytes> bytes_;
};

TEST_F(SimDiskTest, ReadsWhatWasWrittenAlsoBeyondTwoTebibytes) {
  Open({.blocks = uint64_t{1} << 33});
  EXPECT_EQ(Write(5, 1), BlockResult::kOk);
  EXPECT_EQ(Write((uint64_t{1} << 32) + 5, 2), BlockResult::kOk);
  EXPECT_EQ(Read(5), 1);
  EXPECT_EQ(Read((uint64_t{1} << 32) + 5), 2);
  EXPECT_EQ(Read(6), 0);
  EXPECT_EQ(Write(uint64_t{1} << 33, 1), BlockResult::kOutOfRange);
}

TEST_F(SimDiskTest, ALossOfPowerTakesWhatWasNotFlushed) {
  Open({.seed = 3});
  for (uint64_t block = 0; block < 64; ++block) Write(block, 1);
  EXPECT_EQ(Do(BlockOperation::kFlush, 0), BlockResult::kOk);
  for (uint64_t block = 0; block < 64; ++block) Write(block, 2, /*through=*/block % 2 == 0);
  disk_->LosePower();
  int old = 0;
  for (uint64_t block = 0; block < 64; ++block) {
    const int value = Read(block);
    if (block % 2 == 0) {
      EXPECT_EQ(value, 2) << block;
    }
    EXPECT_NE(value, 0) << block;
    old += value == 1;
  }
  EXPECT_GT(old, 8);
}

TEST_F(SimDiskTest, WithoutACacheNothingIsLost) {
  Open({.volatile_cache = false});
  for (uint64_t block = 0; block < 64; ++block) Write(block, 2);
  disk_->LosePower();
  for (uint64_t block = 0; block < 64; ++block) EXPECT_EQ(Read(block), 2);
}

TEST_F(SimDiskTest, IsFullAtItsLimitAndHasRoomAgainAfterADiscard) {
  Open({.room_blocks = 2});
  EXPECT_EQ(Write(1, 1), BlockResult::kOk);
  EXPECT_EQ(Write(2, 1), BlockResult::kOk);
  EXPECT_EQ(Write(3, 1), BlockResult::kNoSpace);
  EXPECT_EQ(Write(2, 2), BlockResult::kOk);
  EXPECT_EQ(Do(BlockOperation::kWriteZeroes, 2), BlockResult::kOk);
  EXPECT_EQ(Write(3, 1), BlockResult::kOk);
  EXPECT_EQ(Read(3), 1);
  EXPECT_EQ(Read(2), 0);
}

TEST_F(SimDiskTest, WhatIsCutOffIsZeroWhenItComesBack) {
  Open({.blocks = 16});
  Write(10, 1);
  disk_->Resize(8);
  EXPECT_EQ(Do(BlockOperation::kRead, 10), BlockResult::kOutOfRange);
  disk_->Resize(16);
  EXPECT_EQ(Read(10), 0);
}

TEST_F(SimDiskTest, DroppedRequestsEndAndLeaveTheirMemoryAlone) {
  Open({});
  Write(1, 7);
  std::vector<Request> requests(20);
  std::vector<std::array<std::byte, kBytes>> memory(20);
  std::vector<BlockSegment> segments(20);
  for (size_t i = 0; i < requests.size(); ++i) {
    segments[i] = {memory[i].data(), kBytes};
    requests[i].offset = kBytes, requests[i].bytes = kBytes;
    requests[i].segments = {&segments[i], 1};
    queue_->Submit(requests[i]);
  }
  disk_->DropRequests(sim_);
  for (auto& bytes : memory) bytes.fill(std::byte{0x11});
  EXPECT_TRUE(sim_.RunUntilIdle().ok());
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_TRUE(requests[i].ended);
    EXPECT_EQ(requests[i].result, BlockResult::kGone);
    EXPECT_EQ(memory[i][0], std::byte{0x11});
  }
  EXPECT_EQ(disk_->under_way(), 0u);
}

// Seed 21214: a WRITE SAME that waited for the target's buffer went to the storage when the one before it was dropped.
TEST_F(SimDiskTest, WhatIsSubmittedWhenARequestIsDroppedIsDroppedToo) {
  struct Follower final : BlockRequest {
    void OnDone(BlockResult with) override {
      result = with;
      if (next != nullptr) queue->Submit(*next);
    }
    BlockQueue* queue = nullptr;
    BlockRequest* next = nullptr;
  };
  Open({});
  Request last;
  Follower first;
  for (BlockRequest* request :
       {static_cast<BlockRequest*>(&last), static_cast<BlockRequest*>(&first)}) {
    request->operation = BlockOperation::kFlush;
  }
  first.queue = queue_.get();
  first.next = &last;
  queue_->Submit(first);
  disk_->DropRequests(sim_);
  EXPECT_EQ(first.result, BlockResult::kGone);
  EXPECT_TRUE(last.ended);
  EXPECT_EQ(last.result, BlockResult::kGone);
  EXPECT_EQ(disk_->under_way(), 0u);
}

class FailingSimDiskTest : public SimDiskTest {
 protected:
  FailingSimDiskTest() : SimDiskTest(Plan()) {}

 private:
  static FaultPlan Plan() {
    FaultPlan plan;
    plan.backend_error = {512};
    plan.backend_stall = {128};
    return plan;
  }
};

TEST_F(FailingSimDiskTest, FailsAndStallsAsThePlanSaysUntilFaultsEnd) {
  Open({});
  int failed = 0;
  for (int i = 0; i < 100; ++i) failed += Write(1, 1) != BlockResult::kOk;
  EXPECT_GT(failed, 25);
  EXPECT_LT(failed, 75);
  EXPECT_GT(sim_.Now().time_since_epoch(), std::chrono::milliseconds(1200));
  faults_.set_active(false);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Write(1, 1), BlockResult::kOk);
}

}  // namespace
}  // namespace vmbuskit
