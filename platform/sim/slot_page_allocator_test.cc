#include "platform/sim/slot_page_allocator.h"

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "platform/linux/memfd_memory.h"
#include "platform/random.h"

namespace vmbuskit {
namespace {

constexpr Pfn kFirst = 256;

class SlotPageAllocatorTest : public testing::Test {
 protected:
  PageRun Allocate(uint32_t count) { return pages_->Allocate(count).value(); }

  const std::unique_ptr<MemfdMemory> memory_ =
      *MemfdMemory::Create({.page_count = kFirst + SlotPageAllocator::kPages});
  std::unique_ptr<SlotPageAllocator> pages_ = std::make_unique<SlotPageAllocator>(*memory_, kFirst);
};

TEST_F(SlotPageAllocatorTest, GivesTheLowestFreeSlotOfTheLength) {
  PageRun first = Allocate(5);
  const PageRun second = Allocate(5);
  EXPECT_EQ(second.first(), first.first() + 5);
  const Pfn place = first.first();
  first.Reset();
  const PageRun other_length = Allocate(4);
  EXPECT_NE(other_length.first(), place);
  EXPECT_EQ(Allocate(5).first(), place);
  EXPECT_EQ(pages_->allocated(), 9u);
}

TEST_F(SlotPageAllocatorTest, RunsNeverOverlap) {
  std::vector<PageRun> runs;
  std::map<Pfn, Pfn> ends;  // by first page
  for (uint32_t count = 1; count <= 100; ++count) {
    for (uint32_t i = 0; i < (count <= 24 ? 33 : 3); ++i) {
      runs.push_back(Allocate(count));
      EXPECT_TRUE(ends.emplace(runs.back().first(), runs.back().first() + count).second);
    }
  }
  Pfn at = kFirst;
  for (const auto& [first, end] : ends) {
    EXPECT_GE(first, at);
    at = end;
  }
  EXPECT_LE(at, kFirst + SlotPageAllocator::kPages);
  // All slots are in use, and none lies behind them.
  EXPECT_EQ(ends.begin()->first, kFirst);
  EXPECT_EQ(ends.count(kFirst + SlotPageAllocator::kSlotPages), 1u);
}

TEST_F(SlotPageAllocatorTest, PlacesDependOnTheCallsOnly) {
  const auto places = [this] {
    SlotPageAllocator pages(*memory_, kFirst);
    Random random(5);
    std::vector<PageRun> runs(40);
    std::vector<Pfn> firsts;
    for (int i = 0; i < 1000; ++i) {
      PageRun& run = runs[random.Below(runs.size())];
      run = PageRun();
      run = pages.Allocate(static_cast<uint32_t>(1 + random.Below(110))).value();
      firsts.push_back(run.first());
    }
    runs.clear();
    EXPECT_EQ(pages.allocated(), 0u);
    return firsts;
  };
  EXPECT_EQ(places(), places());
}

TEST_F(SlotPageAllocatorTest, PagesAreZeroed) {
  for (const uint32_t count : {3u, 200u}) {
    PageRun run = Allocate(count);
    const Gpa last = run.gpa() + count * kPageSize - 1;
    memory_->Translate(last, 1).value()[0] = std::byte{1};
    run.Reset();
    run = Allocate(count);
    ASSERT_EQ(run.gpa() + count * kPageSize - 1, last);
    EXPECT_EQ(memory_->Translate(last, 1).value()[0], std::byte{0});
  }
}

TEST_F(SlotPageAllocatorTest, LeakedPagesAreNotGivenAgain) {
  PageRun run = Allocate(2);
  const Pfn place = run.first();
  run.Leak();
  EXPECT_EQ(pages_->leaked(), 2u);
  EXPECT_EQ(pages_->allocated(), 0u);
  EXPECT_EQ(Allocate(2).first(), place + 2);
  PageRun long_run = Allocate(500);
  EXPECT_EQ(pages_->allocated(), 500u);
  long_run.Leak();
  EXPECT_EQ(pages_->leaked(), 502u);
}

TEST_F(SlotPageAllocatorTest, RefusesNothingAndTooMuch) {
  EXPECT_EQ(pages_->Allocate(0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(pages_->Allocate(SlotPageAllocator::kOverflowPages + 1).status().code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace vmbuskit
