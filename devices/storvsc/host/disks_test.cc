// The disks of this process: what is written is read, on any queue; holes; size; state.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "devices/storvsc/host/null_disk.h"
#include "devices/storvsc/host/ram_disk.h"
#include "framework/base/saved_state.h"
#include "gtest/gtest.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

class Recorded : public BlockRequest {
 public:
  void OnDone(BlockResult result) override { results.push_back(result); }
  std::vector<BlockResult> results;
};

class DisksTest : public ::testing::Test {
 protected:
  // The result of one request on a queue of its own.
  BlockResult Do(BlockDevice& disk, Recorded& request) {
    SimExecutor& executor = request_count_++ % 2 == 0 ? cpu0_ : cpu1_;
    std::unique_ptr<BlockQueue> queue = disk.OpenQueue(executor);
    queue->Submit(request);
    EXPECT_TRUE(request.results.empty()) << "OnDone from inside Submit";
    EXPECT_TRUE(sim_.RunUntilIdle().ok());
    EXPECT_EQ(request.results.size(), 1u);
    return request.results.empty() ? BlockResult::kLost : request.results[0];
  }
  BlockResult Move(BlockDevice& disk, BlockOperation operation, uint64_t offset,
                   std::vector<std::byte>& bytes) {
    Recorded request;
    request.operation = operation;
    request.offset = offset;
    request.bytes = bytes.size();
    // In three parts of odd sizes.
    const std::array<BlockSegment, 3> parts = {
        BlockSegment{bytes.data(), 7}, BlockSegment{bytes.data() + 7, 100},
        BlockSegment{bytes.data() + 107, static_cast<uint32_t>(bytes.size()) - 107}};
    request.segments = parts;
    return Do(disk, request);
  }
  BlockResult Change(BlockDevice& disk, BlockOperation operation, uint64_t offset, uint64_t bytes) {
    Recorded request;
    request.operation = operation;
    request.offset = offset;
    request.bytes = bytes;
    return Do(disk, request);
  }
  static std::vector<std::byte> Pattern(size_t bytes, uint8_t seed) {
    std::vector<std::byte> pattern(bytes);
    for (size_t i = 0; i < bytes; ++i) pattern[i] = static_cast<std::byte>(seed + i * 7 + i / 251);
    return pattern;
  }

  SimScheduler sim_{3};
  SimExecutor& cpu0_ = sim_.NewExecutor(0);
  SimExecutor& cpu1_ = sim_.NewExecutor(1);
  int request_count_ = 0;
};

TEST_F(DisksTest, WhatIsWrittenIsReadOnAnotherQueueAndNothingElseChanges) {
  RamDisk disk({.bytes = 1 << 20});
  std::vector<std::byte> written = Pattern(8192, 5);
  const uint64_t offset = RamDisk::kChunkBytes - 4096;  // across two chunks
  ASSERT_EQ(Move(disk, BlockOperation::kWrite, offset, written), BlockResult::kOk);
  std::vector<std::byte> read(8192);
  ASSERT_EQ(Move(disk, BlockOperation::kRead, offset, read), BlockResult::kOk);
  EXPECT_EQ(read, written);
  std::vector<std::byte> before(512, std::byte{1});
  ASSERT_EQ(Move(disk, BlockOperation::kRead, offset - 512, before), BlockResult::kOk);
  EXPECT_EQ(before, std::vector<std::byte>(512));
  EXPECT_EQ(disk.bytes_allocated(), 2u * RamDisk::kChunkBytes);
}

TEST_F(DisksTest, ALargeDiskCostsWhatIsWritten) {
  RamDisk disk({.bytes = uint64_t{16} << 40});
  std::vector<std::byte> written = Pattern(4096, 1);
  ASSERT_EQ(Move(disk, BlockOperation::kWrite, disk.bytes() - 4096, written), BlockResult::kOk);
  EXPECT_EQ(disk.bytes_allocated(), RamDisk::kChunkBytes);
}

TEST_F(DisksTest, RequestsThatAreWrongAreRefused) {
  RamDisk disk({.bytes = 1 << 20, .block_bytes = 4096});
  std::vector<std::byte> bytes(4096);
  EXPECT_EQ(Move(disk, BlockOperation::kRead, 512, bytes), BlockResult::kInvalid);
  EXPECT_EQ(Move(disk, BlockOperation::kRead, 1 << 20, bytes), BlockResult::kOutOfRange);
  EXPECT_EQ(Move(disk, BlockOperation::kRead, ~uint64_t{4095}, bytes), BlockResult::kOutOfRange);
  RamDisk fixed({.read_only = true});
  EXPECT_EQ(Move(fixed, BlockOperation::kWrite, 0, bytes), BlockResult::kReadOnly);
  EXPECT_EQ(Change(fixed, BlockOperation::kDiscard, 0, 512), BlockResult::kReadOnly);
  EXPECT_EQ(Change(fixed, BlockOperation::kFlush, 0, 0), BlockResult::kOk);
}

TEST_F(DisksTest, DiscardedAndZeroedBytesReadAsZerosAndShowAsHoles) {
  RamDisk disk({.bytes = 4 * RamDisk::kChunkBytes});
  std::vector<std::byte> all = Pattern(4 * RamDisk::kChunkBytes, 9);
  ASSERT_EQ(Move(disk, BlockOperation::kWrite, 0, all), BlockResult::kOk);
  ASSERT_EQ(Change(disk, BlockOperation::kDiscard, RamDisk::kChunkBytes, RamDisk::kChunkBytes),
            BlockResult::kOk);
  ASSERT_EQ(Change(disk, BlockOperation::kWriteZeroes, 512, 512), BlockResult::kOk);
  std::fill_n(all.begin() + RamDisk::kChunkBytes, RamDisk::kChunkBytes, std::byte{0});
  std::fill_n(all.begin() + 512, 512, std::byte{0});
  std::vector<std::byte> read(all.size());
  ASSERT_EQ(Move(disk, BlockOperation::kRead, 0, read), BlockResult::kOk);
  EXPECT_EQ(read, all);

  std::array<BlockExtent, 2> extents;
  Recorded request;
  request.operation = BlockOperation::kStatus;
  request.offset = 4096;
  request.bytes = disk.bytes() - 4096;
  request.extents = extents;
  ASSERT_EQ(Do(disk, request), BlockResult::kOk);
  ASSERT_EQ(request.extent_count, 2u) << "the third does not fit";
  EXPECT_EQ(extents[0], (BlockExtent{RamDisk::kChunkBytes - 4096, true, false}));
  EXPECT_EQ(extents[1], (BlockExtent{RamDisk::kChunkBytes, false, true}));
}

TEST_F(DisksTest, WhatIsCutOffByAResizeIsGone) {
  RamDisk disk({.bytes = 1 << 20});
  std::vector<std::byte> bytes = Pattern(4096, 2);
  ASSERT_EQ(Move(disk, BlockOperation::kWrite, (1 << 20) - 4096, bytes), BlockResult::kOk);
  disk.Resize(1 << 19);
  EXPECT_EQ(Move(disk, BlockOperation::kRead, (1 << 20) - 4096, bytes), BlockResult::kOutOfRange);
  disk.Resize(uint64_t{1} << 36);
  ASSERT_EQ(Move(disk, BlockOperation::kRead, (1 << 20) - 4096, bytes), BlockResult::kOk);
  EXPECT_EQ(bytes, std::vector<std::byte>(4096));
  ASSERT_EQ(Move(disk, BlockOperation::kWrite, (uint64_t{1} << 36) - 4096, bytes),
            BlockResult::kOk);
}

TEST_F(DisksTest, TheContentsGoIntoASavedStateAndComeBack) {
  RamDisk disk({.bytes = 1 << 20});
  std::vector<std::byte> bytes = Pattern(8192, 3);
  ASSERT_TRUE(disk.Poke(RamDisk::kChunkBytes * 3 - 4096, bytes));
  StateWriter writer;
  disk.Save(writer);
  const std::vector<std::byte> saved = std::move(writer).Take();
  RamDisk other({.bytes = 1 << 16});
  ASSERT_TRUE(other.Poke(0, bytes));
  StateReader reader(saved);
  other.Restore(reader);
  ASSERT_TRUE(reader.Finish().ok());
  EXPECT_EQ(other.bytes(), disk.bytes());
  std::vector<std::byte> read(8192);
  other.Peek(RamDisk::kChunkBytes * 3 - 4096, read);
  EXPECT_EQ(read, bytes);
  other.Peek(0, read);
  EXPECT_EQ(read, std::vector<std::byte>(8192));
  StateReader short_reader(std::span<const std::byte>(saved).first(saved.size() - 1));
  other.Restore(short_reader);
  EXPECT_FALSE(short_reader.ok());
}

TEST_F(DisksTest, TheNullDiskAnswersEverythingAndTouchesNothing) {
  NullDisk disk({.bytes = 1 << 20});
  std::vector<std::byte> bytes(4096, std::byte{0x5A});
  EXPECT_EQ(Move(disk, BlockOperation::kRead, 0, bytes), BlockResult::kOk);
  EXPECT_EQ(bytes, std::vector<std::byte>(4096, std::byte{0x5A}));
  EXPECT_EQ(Move(disk, BlockOperation::kWrite, 1 << 20, bytes), BlockResult::kOutOfRange);
  EXPECT_EQ(Change(disk, BlockOperation::kFlush, 0, 0), BlockResult::kOk);
  std::array<BlockExtent, 1> extents;
  Recorded request;
  request.operation = BlockOperation::kStatus;
  request.bytes = 1 << 20;
  request.extents = extents;
  ASSERT_EQ(Do(disk, request), BlockResult::kOk);
  EXPECT_EQ(extents[0], (BlockExtent{1 << 20, true, false}));
}

}  // namespace
}  // namespace vmbuskit
