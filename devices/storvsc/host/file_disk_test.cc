#include "devices/storvsc/host/file_disk.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "devices/storvsc/host/file_disk_queue.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/allocation_counter.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

using testing::Each;
using testing::ElementsAre;

// A file in memory whose operations end in the next turn, with the error that the test asks for.
class FakeFile final : public BlockFile {
 public:
  explicit FakeFile(size_t bytes) : content(bytes) {}

  uint64_t bytes() const override { return content.size(); }
  bool read_only() const override { return is_read_only; }
  uint32_t alignment() const override { return wants_alignment; }
  bool rotational() const override { return false; }
  absl::StatusOr<std::unique_ptr<FileQueue>> OpenQueue(Executor& executor) override {
    return std::make_unique<Queue>(*this, executor);
  }
  absl::StatusOr<Extent> FindExtent(uint64_t offset) override {
    if (offset >= hole_begin && offset < hole_end) return Extent{hole_end - offset, false};
    return Extent{(offset < hole_begin ? hole_begin : content.size()) - offset, true};
  }

  std::vector<std::byte> content;
  bool is_read_only = false;
  uint32_t wants_alignment = 1;
  uint64_t hole_begin = 0;
  uint64_t hole_end = 0;
  std::vector<FileOperation::Kind> kinds;  // in the order of submission
  std::vector<uint64_t> lengths;
  int fail_punch = 0;
  int fail_zero = 0;
  int fail_move = 0;
  int fail_sync_once = 0;  // as the kernel tells of a write-back error
  // Syncs know their result when they begin; they end when the test wants.
  struct Held {
    FileOperation* operation;
    SimExecutor* executor;
    int error;
  };
  bool hold_syncs = false;
  std::vector<Held> held;

 private:
  class Queue final : public FileQueue {
   public:
    Queue(FakeFile& file, Executor& executor)
        : file_(file), executor_(executor), end_(executor, Callback::To<&Queue::End>(this)) {}
    void Submit(FileOperation& operation) override {
      EXPECT_TRUE(executor_.IsCurrent());
      if (file_.hold_syncs && operation.kind == FileOperation::Kind::kSync) {
        const int error = file_.Execute(operation);
        file_.held.push_back({&operation, static_cast<SimExecutor*>(&executor_), error});
        return;
      }
      under_way_.push_back(operation);
      end_.Signal();
    }

   private:
    void End() {
      boost::intrusive::list<FileOperation> ending;
      ending.swap(under_way_);
      while (!ending.empty()) {
        FileOperation& operation = ending.front();
        ending.pop_front();
        operation.OnDone(file_.Execute(operation));
      }
    }
    FakeFile& file_;
    Executor& executor_;
    boost::intrusive::list<FileOperation> under_way_;
    Event end_;
  };

  int Execute(FileOperation& operation) {
    using Kind = FileOperation::Kind;
    const bool moves = operation.kind == Kind::kRead || operation.kind == Kind::kWrite;
    uint64_t length = moves ? 0 : operation.bytes;
    for (const iovec& vector : operation.vectors) {
      if (!moves) break;
      EXPECT_EQ(reinterpret_cast<uintptr_t>(vector.iov_base) % wants_alignment, 0u);
      EXPECT_EQ(vector.iov_len % wants_alignment, 0u);
      std::byte* const at = content.data() + operation.offset + length;
      if (fail_move == 0 && operation.kind == Kind::kRead)
        std::memcpy(vector.iov_base, at, vector.iov_len);
      if (fail_move == 0 && operation.kind == Kind::kWrite)
        std::memcpy(at, vector.iov_base, vector.iov_len);
      length += vector.iov_len;
    }
    if (recording) {
      kinds.push_back(operation.kind);
      lengths.push_back(length);
    }
    const bool punch = operation.kind == Kind::kPunchHole;
    const bool zero = operation.kind == Kind::kZeroRange;
    if (moves && fail_move != 0) return fail_move;
    if (operation.kind == Kind::kSync) return std::exchange(fail_sync_once, 0);
    if (punch && fail_punch != 0) return fail_punch;
    if (zero && fail_zero != 0) return fail_zero;
    if (punch || zero) std::memset(content.data() + operation.offset, 0, operation.bytes);
    return 0;
  }

 public:
  bool recording = true;
};

struct TestRequest final : BlockRequest {
  void OnDone(BlockResult with) override {
    EXPECT_FALSE(submitting) << "OnDone from inside Submit";
    last = with;
    ++ended;
  }
  bool submitting = false;
  int ended = 0;
  BlockResult last = BlockResult::kInvalid;
};

class FileDiskTest : public testing::Test {
 protected:
  static constexpr size_t kBytes = 1 << 20;

  FileDiskTest() : executor_(sim_.NewExecutor(0)) {
    auto file = std::make_unique<FakeFile>(kBytes + 100);
    file_ = file.get();
    pending_ = std::move(file);
  }
  ~FileDiskTest() override {
    const SimTurn turn = sim_.Enter(executor_);
    queue_.reset();
  }

  void Make(FileDisk::Options options = {}) {
    disk_ = std::make_unique<FileDisk>(std::move(pending_), options);
    const SimTurn turn = sim_.Enter(executor_);
    queue_ = disk_->OpenQueue(executor_);
  }
  void Submit(TestRequest& request) { Submit(request, executor_, *queue_); }
  void Submit(TestRequest& request, SimExecutor& executor, BlockQueue& queue) {
    const SimTurn turn = sim_.Enter(executor);
    request.submitting = true;
    queue.Submit(request);
    request.submitting = false;
  }
  // The kernel ends one of the syncs that it has.
  void EndSync(size_t which) {
    const FakeFile::Held held = file_->held.at(which);
    file_->held.erase(file_->held.begin() + static_cast<ptrdiff_t>(which));
    {
      const SimTurn turn = sim_.Enter(*held.executor);
      held.operation->OnDone(held.error);
    }
    EXPECT_EQ(sim_.RunFor(std::chrono::milliseconds(1)), absl::OkStatus());
  }
  BlockResult Run(TestRequest& request) {
    Submit(request);
    EXPECT_EQ(sim_.RunFor(std::chrono::milliseconds(1)), absl::OkStatus());
    EXPECT_EQ(request.ended, 1);
    return request.last;
  }
  BlockResult Do(BlockOperation operation, uint64_t offset, uint64_t bytes, bool stable = false) {
    TestRequest request;
    request.operation = operation;
    request.offset = offset;
    request.bytes = bytes;
    request.force_unit_access = stable;
    return Run(request);
  }
  BlockResult Move(BlockOperation operation, uint64_t offset,
                   std::span<const BlockSegment> segments, bool stable = false) {
    TestRequest request;
    request.operation = operation;
    request.offset = offset;
    request.segments = segments;
    request.force_unit_access = stable;
    for (const BlockSegment& segment : segments) request.bytes += segment.bytes;
    return Run(request);
  }
  BlockResult Write(uint64_t offset, std::span<std::byte> bytes, bool stable = false) {
    const BlockSegment segment = {bytes.data(), static_cast<uint32_t>(bytes.size())};
    return Move(BlockOperation::kWrite, offset, std::span(&segment, 1), stable);
  }

  SimScheduler sim_{0};
  SimExecutor& executor_;
  FakeFile* file_ = nullptr;
  std::unique_ptr<FakeFile> pending_;
  std::unique_ptr<FileDisk> disk_;
  std::unique_ptr<BlockQueue> queue_;
};

TEST_F(FileDiskTest, TheRestOfABlockAtTheEndIsNotPartOfTheDisk) {
  Make({.block_bytes = 4096, .id = "d1"});
  EXPECT_EQ(disk_->bytes(), kBytes);
  EXPECT_EQ(disk_->info().block_bytes, 4096u);
  EXPECT_EQ(disk_->info().id, "d1");
  EXPECT_EQ(Do(BlockOperation::kDiscard, kBytes, 4096), BlockResult::kOutOfRange);
  EXPECT_EQ(Do(BlockOperation::kDiscard, 512, 4096), BlockResult::kInvalid);
}

TEST_F(FileDiskTest, SegmentsAreOneOperationAndNeighboursOneVector) {
  Make();
  std::vector<std::byte> memory(4096, std::byte{3});
  const BlockSegment segments[] = {
      {memory.data(), 100}, {memory.data() + 100, 412}, {memory.data() + 1000, 512}};
  EXPECT_EQ(Move(BlockOperation::kWrite, 512, segments), BlockResult::kOk);
  EXPECT_THAT(file_->lengths, ElementsAre(1024u));
  EXPECT_THAT(std::span(file_->content).subspan(512, 1024), Each(std::byte{3}));
  EXPECT_EQ(file_->content[1536], std::byte{0});
}

TEST_F(FileDiskTest, MoreSegmentsThanAnOperationTakesAreSeveral) {
  Make();
  std::vector<std::byte> memory(512 * 2 * 300);
  std::vector<BlockSegment> segments;
  for (size_t i = 0; i < 300; ++i) {
    memory[i * 1024] = static_cast<std::byte>(i);
    segments.push_back({memory.data() + i * 1024, 512});
  }
  EXPECT_EQ(Move(BlockOperation::kWrite, 0, segments, /*stable=*/true), BlockResult::kOk);
  EXPECT_THAT(file_->lengths, ElementsAre(128 * 512u, 128 * 512u, 44 * 512u, 0u));
  EXPECT_EQ(file_->kinds.back(), FileOperation::Kind::kSync);
  for (size_t i = 0; i < 300; ++i)
    EXPECT_EQ(file_->content[i * 512], static_cast<std::byte>(i)) << i;
}

TEST_F(FileDiskTest, AStableWriteIsAWriteAndASync) {
  using Kind = FileOperation::Kind;
  Make();
  std::vector<std::byte> memory(512, std::byte{1});
  EXPECT_EQ(Write(0, memory, true), BlockResult::kOk);
  EXPECT_EQ(Do(BlockOperation::kWriteZeroes, 0, 512, true), BlockResult::kOk);
  EXPECT_THAT(file_->kinds, ElementsAre(Kind::kWrite, Kind::kSync, Kind::kPunchHole, Kind::kSync));
}

TEST_F(FileDiskTest, ZerosAreWrittenWhereTheFileSystemHasNothingBetter) {
  Make();
  std::ranges::fill(file_->content, std::byte{9});
  file_->fail_punch = EOPNOTSUPP;
  EXPECT_EQ(Do(BlockOperation::kWriteZeroes, 512, 512 * 1024), BlockResult::kOk);
  EXPECT_THAT(std::span(file_->content).subspan(512, 512 * 1024), Each(std::byte{0}));
  EXPECT_EQ(file_->content[511], std::byte{9});
  EXPECT_EQ(file_->content[512 + 512 * 1024], std::byte{9});
}

TEST_F(FileDiskTest, ZerosThatMustStayAllocatedAreNoHole) {
  Make();
  TestRequest request;
  request.operation = BlockOperation::kWriteZeroes;
  request.bytes = 4096;
  request.may_unmap = false;
  EXPECT_EQ(Run(request), BlockResult::kOk);
  EXPECT_THAT(file_->kinds, ElementsAre(FileOperation::Kind::kZeroRange));
}

TEST_F(FileDiskTest, ADiscardThatIsNotPossibleIsNoError) {
  Make();
  file_->fail_punch = EOPNOTSUPP;
  EXPECT_EQ(Do(BlockOperation::kDiscard, 0, 4096), BlockResult::kOk);
  file_->fail_punch = EIO;
  EXPECT_EQ(Do(BlockOperation::kDiscard, 0, 4096), BlockResult::kMediumError);
}

TEST_F(FileDiskTest, ErrorsOfTheFileAreTold) {
  Make();
  std::vector<std::byte> memory(512);
  file_->fail_move = ENOSPC;
  EXPECT_EQ(Write(0, memory), BlockResult::kNoSpace);
  file_->fail_move = EIO;
  EXPECT_EQ(Write(0, memory), BlockResult::kMediumError);
  file_->fail_move = EFBIG;
  EXPECT_EQ(Write(0, memory), BlockResult::kNoSpace);
  EXPECT_EQ(disk_->first_error(), ENOSPC);
}

// The kernel tells of a write-back error once; the pages that it could not write are clean then.
TEST_F(FileDiskTest, NothingIsStableAnyMoreOnceAFlushHasFailed) {
  Make();
  std::vector<std::byte> memory(512, std::byte{1});
  EXPECT_EQ(Write(0, memory), BlockResult::kOk);
  file_->fail_sync_once = EIO;
  EXPECT_EQ(Do(BlockOperation::kFlush, 0, 0), BlockResult::kMediumError);
  EXPECT_EQ(Do(BlockOperation::kFlush, 0, 0), BlockResult::kMediumError);
  EXPECT_EQ(Write(0, memory, /*stable=*/true), BlockResult::kMediumError);
  EXPECT_EQ(Do(BlockOperation::kWriteZeroes, 0, 512, /*stable=*/true), BlockResult::kMediumError);
  EXPECT_EQ(Write(0, memory), BlockResult::kOk) << "what promises nothing goes on";
  const BlockSegment segment = {memory.data(), 512};
  EXPECT_EQ(Move(BlockOperation::kRead, 0, std::span(&segment, 1), /*stable=*/true),
            BlockResult::kOk);
  EXPECT_EQ(disk_->sync_error(), EIO);
}

TEST_F(FileDiskTest, AStableWriteThatFailedSpoilsLaterFlushesOnEveryQueue) {
  Make();
  std::vector<std::byte> memory(512, std::byte{1});
  EXPECT_EQ(Write(0, memory), BlockResult::kOk);
  file_->fail_sync_once = ENOSPC;
  EXPECT_EQ(Write(512, memory, /*stable=*/true), BlockResult::kNoSpace);
  {
    const SimTurn turn = sim_.Enter(executor_);
    queue_ = disk_->OpenQueue(executor_);
  }
  EXPECT_EQ(Do(BlockOperation::kFlush, 0, 0), BlockResult::kMediumError);
}

// The disk may have room again when something was discarded.
TEST_F(FileDiskTest, AStableWriteThatFoundNoRoomFailsAlone) {
  Make();
  std::vector<std::byte> memory(512, std::byte{1});
  file_->fail_move = ENOSPC;
  EXPECT_EQ(Write(0, memory, /*stable=*/true), BlockResult::kNoSpace);
  file_->fail_move = 0;
  EXPECT_EQ(disk_->sync_error(), 0);
  EXPECT_EQ(Do(BlockOperation::kFlush, 0, 0), BlockResult::kOk);
  EXPECT_EQ(Write(0, memory, /*stable=*/true), BlockResult::kOk);
}

TEST_F(FileDiskTest, OfTwoFlushesAtOnceNoneSaysStableWhenTheOtherHearsOfTheLoss) {
  Make();
  SimExecutor& other = sim_.NewExecutor(1);
  std::unique_ptr<BlockQueue> queue;
  {
    const SimTurn turn = sim_.Enter(other);
    queue = disk_->OpenQueue(other);
  }
  file_->hold_syncs = true;
  file_->fail_sync_once = EIO;
  TestRequest first, second;
  first.operation = second.operation = BlockOperation::kFlush;
  Submit(first);
  Submit(second, other, *queue);
  // The one that the kernel told of nothing would end first.
  while (!file_->held.empty()) EndSync(file_->held.size() - 1);
  EXPECT_EQ(first.last, BlockResult::kMediumError);
  EXPECT_EQ(second.last, BlockResult::kMediumError);
  EXPECT_EQ(first.ended + second.ended, 2);
  const SimTurn turn = sim_.Enter(other);
  queue.reset();
}

TEST_F(FileDiskTest, FlushesThatArriveDuringASyncShareTheNextOne) {
  Make();
  SimExecutor& other = sim_.NewExecutor(1);
  std::unique_ptr<BlockQueue> queue;
  {
    const SimTurn turn = sim_.Enter(other);
    queue = disk_->OpenQueue(other);
  }
  file_->hold_syncs = true;
  std::vector<TestRequest> flushes(6);
  for (TestRequest& flush : flushes) flush.operation = BlockOperation::kFlush;
  const auto ended = [&] {
    std::vector<int> all;
    for (const TestRequest& flush : flushes) all.push_back(flush.ended);
    return all;
  };
  Submit(flushes[0], other, *queue);
  Submit(flushes[1]);
  Submit(flushes[2], other, *queue);
  Submit(flushes[3]);
  EXPECT_EQ(file_->held.size(), 1u);
  EndSync(0);
  EXPECT_THAT(ended(), ElementsAre(1, 0, 0, 0, 0, 0)) << "others may cover writes that it did not";
  EXPECT_EQ(file_->held.size(), 1u);
  Submit(flushes[4]);
  EndSync(0);
  EXPECT_THAT(ended(), ElementsAre(1, 1, 1, 1, 0, 0));
  EXPECT_EQ(file_->held.size(), 1u) << "begun on the executor of the one that waits";
  EndSync(0);
  EXPECT_TRUE(file_->held.empty());
  Submit(flushes[5], other, *queue);
  EndSync(0);
  EXPECT_THAT(ended(), ElementsAre(1, 1, 1, 1, 1, 1));
  EXPECT_EQ(file_->kinds.size(), 4u);
  for (const TestRequest& flush : flushes) EXPECT_EQ(flush.last, BlockResult::kOk);
  const SimTurn turn = sim_.Enter(other);
  queue.reset();
}

TEST_F(FileDiskTest, WhatIsNotAlignedGoesThroughAnAlignedBufferOneAfterAnother) {
  file_->wants_alignment = 512;
  Make();
  alignas(512) static std::byte memory[400 * 1024 + 512];
  for (size_t i = 0; i < sizeof memory; ++i) memory[i] = static_cast<std::byte>(i % 251);
  const BlockSegment segments[] = {{memory + 1, 100}, {memory + 101, 400 * 1024 - 100}};
  TestRequest first, second;
  for (TestRequest* request : {&first, &second}) {
    request->operation = BlockOperation::kWrite;
    request->segments = segments;
    request->bytes = 400 * 1024;
    request->offset = request == &first ? 0 : 512 * 1024;
    Submit(*request);
  }
  ASSERT_EQ(sim_.RunFor(std::chrono::milliseconds(1)), absl::OkStatus());
  EXPECT_EQ(first.last, BlockResult::kOk);
  EXPECT_EQ(second.last, BlockResult::kOk);
  EXPECT_THAT(file_->lengths, ElementsAre(256 * 1024u, 144 * 1024u, 256 * 1024u, 144 * 1024u));
  EXPECT_EQ(std::memcmp(file_->content.data(), memory + 1, 400 * 1024), 0);
  EXPECT_EQ(std::memcmp(file_->content.data() + 512 * 1024, memory + 1, 400 * 1024), 0);

  alignas(512) static std::byte back[2048];
  const BlockSegment odd = {back + 3, 1024};
  EXPECT_EQ(Move(BlockOperation::kRead, 512, std::span(&odd, 1)), BlockResult::kOk);
  EXPECT_EQ(std::memcmp(back + 3, memory + 1 + 512, 1024), 0);
}

TEST_F(FileDiskTest, HolesAreTold) {
  file_->hole_begin = 8192;
  file_->hole_end = 16384;
  Make();
  std::vector<BlockExtent> extents(2);
  TestRequest request;
  request.operation = BlockOperation::kStatus;
  request.offset = 4096;
  request.bytes = kBytes - 4096;
  request.extents = extents;
  EXPECT_EQ(Run(request), BlockResult::kOk);
  EXPECT_EQ(request.extent_count, 2u);
  EXPECT_THAT(extents, ElementsAre(BlockExtent{4096, true, false}, BlockExtent{8192, false, true}));
}

TEST_F(FileDiskTest, ABlockThatIsPartlyDataIsData) {
  file_->hole_begin = 100;
  file_->hole_end = 1000;
  Make();
  std::vector<BlockExtent> extents(4);
  TestRequest request;
  request.operation = BlockOperation::kStatus;
  request.bytes = 2048;
  request.extents = extents;
  EXPECT_EQ(Run(request), BlockResult::kOk);
  // The hole ends inside of the second block.
  EXPECT_EQ(extents[0], (BlockExtent{512, true, false}));
  EXPECT_EQ(extents[1], (BlockExtent{512, true, false}));
}

TEST_F(FileDiskTest, MoreRequestsThanSlotsWaitAndNothingIsAllocated) {
  Make();
  file_->recording = false;
  std::vector<std::byte> memory(512);
  const BlockSegment segment = {memory.data(), 512};
  std::vector<TestRequest> requests(3 * FileDiskQueue::kSlots);
  const uint64_t before = ThreadAllocations();
  for (TestRequest& request : requests) {
    request.operation = BlockOperation::kRead;
    request.bytes = 512;
    request.segments = std::span(&segment, 1);
    Submit(request);
  }
  const uint64_t after = ThreadAllocations();
  ASSERT_EQ(sim_.RunFor(std::chrono::milliseconds(1)), absl::OkStatus());
  EXPECT_EQ(after, before);
  for (const TestRequest& request : requests) EXPECT_EQ(request.ended, 1);
}

TEST_F(FileDiskTest, AReadOnlyFileIsAReadOnlyDisk) {
  file_->is_read_only = true;
  Make();
  std::vector<std::byte> memory(512);
  EXPECT_EQ(Write(0, memory), BlockResult::kReadOnly);
  EXPECT_FALSE(disk_->info().discard);
}

}  // namespace
}  // namespace vmbuskit
