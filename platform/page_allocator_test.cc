#include "platform/page_allocator.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "platform/linux/memfd_memory.h"
#include "platform/random.h"

namespace vmbuskit {
namespace {

class PageAllocatorTest : public testing::Test {
 protected:
  static constexpr Pfn kFirst = 10;
  static constexpr uint64_t kCount = 20;

  std::unique_ptr<MemfdMemory> memory_ = MemfdMemory::Create({.page_count = 64}).value();
  FirstFitPageAllocator pages_{*memory_, kFirst, kCount};
};

TEST_F(PageAllocatorTest, FirstFitFromTheBeginningOfTheRange) {
  PageRun a = pages_.Allocate(3).value();
  PageRun b = pages_.Allocate(1).value();
  EXPECT_EQ(a.first(), 10u);
  EXPECT_EQ(a.gpa(), 10u * 4096);
  EXPECT_EQ(b.first(), 13u);
  EXPECT_EQ(pages_.allocated(), 4u);
  EXPECT_EQ(pages_.available(), 16u);
  a.Reset();
  EXPECT_FALSE(a);
  EXPECT_EQ(pages_.Allocate(2)->first(), 10u);  // freed again at once
  EXPECT_EQ(pages_.Allocate(4)->first(), 14u);  // the hole of three is too small
}

TEST_F(PageAllocatorTest, FreedNeighboursJoinInEveryOrder) {
  std::vector<int> order = {0, 1, 2, 3};
  do {
    std::vector<PageRun> runs;
    for (int i = 0; i < 4; ++i) runs.push_back(pages_.Allocate(5).value());
    EXPECT_EQ(pages_.available(), 0u);
    for (int i : order) runs[i].Reset();
    absl::StatusOr<PageRun> all = pages_.Allocate(20);
    ASSERT_TRUE(all.ok()) << all.status();
    EXPECT_EQ(all->first(), kFirst);
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(pages_.allocated(), 0u);
}

TEST_F(PageAllocatorTest, PagesAreZeroedAlsoWhenReused) {
  for (int i = 0; i < 2; ++i) {
    PageRun run = pages_.Allocate(20).value();
    const std::span<std::byte> bytes = memory_->Translate(run.gpa(), 20 * kPageSize).value();
    EXPECT_EQ(std::count(bytes.begin(), bytes.end(), std::byte{0}), 20 * 4096);
    std::fill(bytes.begin(), bytes.end(), std::byte{0xee});
  }
  // Outside of the range nothing is touched.
  EXPECT_EQ(memory_->Translate(9 * kPageSize, 1).value()[0], std::byte{0});
}

TEST_F(PageAllocatorTest, ExhaustionSaysWhatIsFree) {
  PageRun a = pages_.Allocate(8).value();
  PageRun b = pages_.Allocate(4).value();
  a.Reset();
  const absl::StatusOr<PageRun> tried = pages_.Allocate(9);
  EXPECT_EQ(tried.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(
      tried.status().message(),
      "page allocator at page 10: 9 consecutive pages asked for, 16 of 20 free, largest run 8");
  EXPECT_EQ(pages_.Allocate(0).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(pages_.Allocate(0xffffffff).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(pages_.allocated(), 4u);
}

TEST_F(PageAllocatorTest, LeakedPagesNeverComeBack) {
  PageRun a = pages_.Allocate(6).value();
  a.Leak();
  EXPECT_FALSE(a);
  EXPECT_EQ(pages_.leaked(), 6u);
  EXPECT_EQ(pages_.allocated(), 0u);
  EXPECT_EQ(pages_.available(), 14u);
  EXPECT_EQ(pages_.Allocate(14)->first(), 16u);
  EXPECT_FALSE(pages_.Allocate(15).ok());
}

TEST_F(PageAllocatorTest, RunsMoveWithoutBeingFreedTwice) {
  PageRun a = pages_.Allocate(2).value();
  PageRun b = std::move(a);
  EXPECT_FALSE(a);
  a.Reset();
  EXPECT_EQ(pages_.allocated(), 2u);
  b = pages_.Allocate(3).value();
  EXPECT_EQ(pages_.allocated(), 3u);
}

#ifndef NDEBUG
using PageAllocatorDeathTest = PageAllocatorTest;

TEST_F(PageAllocatorDeathTest, DoubleFreeIsAnAssertion) {
  EXPECT_DEATH(
      {
        PageRun run = pages_.Allocate(2).value();
        PageRun forged(&pages_, run.first(), run.count());
        run.Reset();
        forged.Reset();
      },
      "not allocated");
}
#endif

TEST_F(PageAllocatorTest, ThreadsDoNotGetTheSamePage) {
  std::vector<std::thread> threads;
  std::atomic<int> overlaps = 0;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    threads.emplace_back([&, seed] {
      Random random(seed);
      for (int i = 0; i < 2000; ++i) {
        absl::StatusOr<PageRun> run = pages_.Allocate(1 + random.Below(6));
        ASSERT_TRUE(run.ok());  // the other thread leaves a run of 7
        auto bytes = memory_->Translate(run->gpa(), run->count() * kPageSize).value();
        for (uint32_t page = 0; page < run->count(); ++page) {
          std::byte& mark = bytes[page * kPageSize];
          if (mark != std::byte{0}) ++overlaps;
          mark = std::byte(seed);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(overlaps.load(), 0);
  EXPECT_EQ(pages_.available(), 20u);
}

}  // namespace
}  // namespace vmbuskit
