#include "devices/storvsc/export/nbd_buffers.h"

#include <gtest/gtest.h>

#include "devices/storvsc/export/nbd_testing.h"

namespace vmbuskit {
namespace {

constexpr size_t kChunk = NbdBufferPool::kChunkBytes;
using Taken = NbdBufferPool::Taken;

TEST(NbdBufferPool, SegmentsCoverWhatWasAskedFor) {
  TestDisk disk;
  NbdBufferPool pool(disk, 4 * kChunk);
  NbdBuffer buffer;
  ASSERT_EQ(pool.Take(2 * kChunk + 512, buffer), Taken::kYes);
  ASSERT_EQ(buffer.segments().size(), 3u);
  EXPECT_EQ(buffer.segments()[0].bytes, kChunk);
  EXPECT_EQ(buffer.segments()[2].bytes, 512u);
  EXPECT_EQ(buffer.From(kChunk + 7).data(), buffer.segments()[1].data + 7);
  EXPECT_EQ(buffer.From(kChunk + 7).size(), kChunk - 7);
  EXPECT_EQ(buffer.From(2 * kChunk + 500).size(), 12u);
  EXPECT_TRUE(buffer.From(2 * kChunk + 512).empty());
  pool.Give(buffer);
  EXPECT_EQ(buffer.bytes(), 0u);
}

TEST(NbdBufferPool, ChunksAreMadeWhenNeededAndUsedAgain) {
  TestDisk disk;
  NbdBufferPool pool(disk, 64 * kChunk);
  EXPECT_EQ(pool.chunks(), 0u);
  for (int i = 0; i < 10; ++i) {
    NbdBuffer buffer;
    ASSERT_EQ(pool.Take(kChunk + 1, buffer), Taken::kYes);
    pool.Give(buffer);
  }
  EXPECT_EQ(pool.chunks(), 2u);
}

TEST(NbdBufferPool, TheLimitHolds) {
  TestDisk disk;
  NbdBufferPool pool(disk, 2 * kChunk);
  NbdBuffer first;
  NbdBuffer second;
  ASSERT_EQ(pool.Take(kChunk, first), Taken::kYes);
  EXPECT_EQ(pool.Take(2 * kChunk, second), Taken::kLater);
  EXPECT_TRUE(second.segments().empty());
  pool.Give(first);
  EXPECT_EQ(pool.Take(2 * kChunk, second), Taken::kYes);
  pool.Give(second);
  EXPECT_EQ(pool.Take(3 * kChunk, second), Taken::kNever);
}

TEST(NbdBufferPool, ADiskWithoutMemoryIsWaitedForOnlyWhileSomeIsOut) {
  TestDisk disk;
  disk.buffers_left = 1;
  NbdBufferPool pool(disk, 8 * kChunk);
  NbdBuffer first;
  NbdBuffer second;
  ASSERT_EQ(pool.Take(1, first), Taken::kYes);
  EXPECT_EQ(pool.Take(1, second), Taken::kLater);
  pool.Give(first);
  EXPECT_EQ(pool.Take(kChunk + 1, second), Taken::kNever);
}

TEST(NbdBufferPool, LostChunksAreNotUsedAgain) {
  TestDisk disk;
  NbdBufferPool pool(disk, 2 * kChunk);
  NbdBuffer buffer;
  ASSERT_EQ(pool.Take(kChunk, buffer), Taken::kYes);
  pool.Lose(buffer);
  ASSERT_EQ(pool.Take(kChunk, buffer), Taken::kYes);
  NbdBuffer second;
  EXPECT_EQ(pool.Take(kChunk, second), Taken::kLater);
  pool.Give(buffer);
}

}  // namespace
}  // namespace vmbuskit
