// The memory of the rings: layout, double mapping, limits.
#include "transports/synic/ring_setup.h"

#include <gtest/gtest.h>

#include <cstring>

#include "platform/linux/memfd_memory.h"
#include "platform/page_allocator.h"
#include "transports/synic/monitor_pages.h"

namespace vmbuskit {
namespace {

class RingSetupTest : public testing::Test {
 protected:
  std::unique_ptr<MemfdMemory> memory_ = *MemfdMemory::Create({.page_count = 64});
  FirstFitPageAllocator pages_{*memory_, 1, 63};
};

TEST_F(RingSetupTest, LiesInThePagesAsTheHostExpects) {
  absl::StatusOr<GuestRings> rings = MakeGuestRings(pages_, *memory_, 3 * 4096, 2 * 4096);
  ASSERT_TRUE(rings.ok());
  EXPECT_EQ(rings->pages.count(), 7u);
  EXPECT_EQ(rings->downstream_page, 4u);
  EXPECT_EQ(rings->outgoing.data_bytes, 3 * 4096u);
  EXPECT_EQ(rings->incoming.data_bytes, 2 * 4096u);
  // What one end writes through the mapping stands in the page of that number.
  rings->outgoing.control[0] = std::byte{1};
  rings->outgoing.data[2 * 4096] = std::byte{2};
  rings->incoming.control[0] = std::byte{3};
  rings->incoming.data[4096] = std::byte{4};
  const std::span<std::byte> raw = *memory_->Translate(rings->pages.gpa(), 7 * kPageSize);
  EXPECT_EQ(raw[0], std::byte{1});
  EXPECT_EQ(raw[3 * kPageSize], std::byte{2});
  EXPECT_EQ(raw[4 * kPageSize], std::byte{3});
  EXPECT_EQ(raw[6 * kPageSize], std::byte{4});
}

// Sanitizers order the accesses of both ends by the addresses of the words.
TEST_F(RingSetupTest, TheWordsAreWhereTheOtherEndHasThem) {
  absl::StatusOr<GuestRings> rings = MakeGuestRings(pages_, *memory_, 4096, 4096);
  ASSERT_TRUE(rings.ok());
  EXPECT_EQ(rings->outgoing.control, memory_->Translate(rings->pages.gpa(), 1)->data());
  EXPECT_EQ(rings->incoming.control,
            memory_->Translate(rings->pages.gpa() + 2 * kPageSize, 1)->data());
}

TEST_F(RingSetupTest, APacketNeverWraps) {
  absl::StatusOr<GuestRings> rings = MakeGuestRings(pages_, *memory_, 4096, 4096);
  ASSERT_TRUE(rings.ok());
  for (const RingMemory& ring : {rings->outgoing, rings->incoming}) {
    std::memset(ring.data + ring.data_bytes - 8, 0x5A, 16);  // over the end
    EXPECT_EQ(ring.data[0], std::byte{0x5A});
    EXPECT_EQ(ring.data[7], std::byte{0x5A});
    EXPECT_EQ(ring.data[8], std::byte{0});
    ring.data[1] = std::byte{0x11};
    EXPECT_EQ(ring.data[ring.data_bytes + 1], std::byte{0x11});
  }
}

TEST_F(RingSetupTest, StartsZeroedInPagesThatWereUsedBefore) {
  {
    absl::StatusOr<PageRun> old = pages_.Allocate(20);
    ASSERT_TRUE(old.ok());
    std::memset(memory_->Translate(old->gpa(), 20 * kPageSize)->data(), 0xEE, 20 * kPageSize);
  }
  absl::StatusOr<GuestRings> rings = MakeGuestRings(pages_, *memory_, 4096, 4096);
  ASSERT_TRUE(rings.ok());
  const std::span<std::byte> bytes = *memory_->Translate(rings->pages.gpa(), 4 * kPageSize);
  for (std::byte byte : bytes) ASSERT_EQ(byte, std::byte{0});
}

TEST_F(RingSetupTest, GivesEverythingBack) {
  {
    absl::StatusOr<GuestRings> rings = MakeGuestRings(pages_, *memory_, 4096, 4096);
    ASSERT_TRUE(rings.ok());
    EXPECT_EQ(pages_.allocated(), 4u);
    EXPECT_EQ(memory_->mapped_pages(), 6u);
  }
  EXPECT_EQ(pages_.allocated(), 0u);
  EXPECT_EQ(memory_->mapped_pages(), 0u);
}

TEST_F(RingSetupTest, RefusesOddSizesAndSaysWhatIsMissing) {
  auto code = [&](uint32_t send, uint32_t receive) {
    return MakeGuestRings(pages_, *memory_, send, receive).status().code();
  };
  EXPECT_EQ(code(0, 4096), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(4096, 0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(4096, 4097), absl::StatusCode::kInvalidArgument);
  // 8190 pages are what one GPADL can name, both control pages included.
  EXPECT_EQ(code(4094 * 4096, 4095 * 4096), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(4094 * 4096, 4094 * 4096), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(pages_.allocated(), 0u);
}

TEST_F(RingSetupTest, MonitorBitsStandWhereTheReferenceSays) {
  MonitorPage page{};
  SetMonitorBit(page, 37);
  SetMonitorBit(page, 127);
  SetMonitorBit(page, 127);
  const auto* bytes = reinterpret_cast<const std::byte*>(&page);
  EXPECT_EQ(bytes[16], std::byte{0x20});      // group 1, bit 5
  EXPECT_EQ(bytes[32 + 3], std::byte{0x80});  // group 3, bit 31
  EXPECT_EQ(page.trigger_group[1].armed, 0u);
}

TEST_F(RingSetupTest, MonitorPagesAreUsedOnlyWhereThereIsMemory) {
  GuestMonitorPages monitors;
  EXPECT_EQ(monitors.parent_to_child_gpa(), 0u);
  ASSERT_TRUE(monitors.Allocate(pages_).ok());
  EXPECT_EQ(monitors.child_to_parent_gpa(), monitors.parent_to_child_gpa() + kPageSize);
  monitors.Use(*memory_, monitors.child_to_parent_gpa());
  EXPECT_NE(monitors.page(), nullptr);
  monitors.Use(*memory_, 63 * kPageSize);  // the host's choice
  EXPECT_NE(monitors.page(), nullptr);
  monitors.Use(*memory_, 64 * kPageSize);  // beyond
  EXPECT_EQ(monitors.page(), nullptr);
  monitors.Use(*memory_, 0);
  EXPECT_EQ(monitors.page(), nullptr);
  monitors.Release(/*host_let_go=*/false);
  EXPECT_EQ(pages_.leaked(), 2u);
}

}  // namespace
}  // namespace vmbuskit
