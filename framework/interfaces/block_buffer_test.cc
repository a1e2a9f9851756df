#include "framework/interfaces/block_buffer.h"

#include <cstring>
#include <memory>

#include "framework/interfaces/block_device.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/linux/memfd_memory.h"
#include "platform/page_allocator.h"

namespace vmbuskit {
namespace {

using testing::Each;

TEST(BlockBufferTest, HeapBuffersAreZeroAndAlignedAndNotTheGuests) {
  const BlockBuffer buffer = BlockBuffer::OfHeap(5000);
  EXPECT_EQ(buffer.bytes().size(), 5000u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.bytes().data()) % kPageSize, 0u);
  EXPECT_THAT(buffer.bytes(), Each(std::byte{0}));
  EXPECT_EQ(buffer.gpa(100), BlockSegment::kNoGpa);
}

TEST(BlockBufferTest, GuestBuffersAreWholePagesThatGoBack) {
  absl::StatusOr<std::unique_ptr<MemfdMemory>> memory = MemfdMemory::Create({.page_count = 64});
  ASSERT_TRUE(memory.ok()) << memory.status();
  FirstFitPageAllocator pages(**memory, 0, 64);
  {
    absl::StatusOr<BlockBuffer> buffer = BlockBuffer::OfGuest(**memory, pages, 5000);
    ASSERT_TRUE(buffer.ok()) << buffer.status();
    EXPECT_EQ(buffer->bytes().size(), 2 * kPageSize);
    EXPECT_EQ(pages.allocated(), 2u);
    std::memset(buffer->bytes().data() + 4096, 7, 1);
    EXPECT_EQ(std::to_integer<int>(*(*memory)->Translate(buffer->gpa(4096), 1)->data()), 7);
  }
  EXPECT_EQ(pages.allocated(), 0u);
  EXPECT_EQ(BlockBuffer::OfGuest(**memory, pages, 65 * kPageSize).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(BlockBuffer::OfGuest(**memory, pages, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace vmbuskit
