#include "platform/withheld_pages.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "platform/memory.h"

namespace vmbuskit {
namespace {

using Runs = std::vector<std::pair<Pfn, uint32_t>>;

class NotingAllocator : public PageAllocator {
 public:
  absl::StatusOr<PageRun> Allocate(uint32_t count) override { return PageRun(this, 100, count); }
  uint64_t allocated() const override { return 0; }
  uint64_t leaked() const override { return 0; }

  Runs freed;
  Runs lost;

 private:
  void Free(Pfn first, uint32_t count) override { freed.emplace_back(first, count); }
  void Leak(Pfn first, uint32_t count) override { lost.emplace_back(first, count); }
};

class WithheldPagesTest : public testing::Test {
 protected:
  NotingAllocator pages;
};

TEST_F(WithheldPagesTest, AFreedRunWaitsForTheEndOfTheConnection) {
  PageRun buffer(&pages, 40, 16);
  pages.Withhold(44, 2);
  pages.Withhold(50, 1);
  EXPECT_EQ(pages.withheld(), 0u) << "its owner has it still";
  buffer.Reset();
  EXPECT_EQ(pages.freed, Runs());
  EXPECT_EQ(pages.withheld(), 16u);
  pages.EndWithholding(/*host_let_go=*/true);
  EXPECT_EQ(pages.freed, (Runs{{40, 16}}));
  EXPECT_EQ(pages.withheld(), 0u);
}

TEST_F(WithheldPagesTest, WithoutUnloadResponseAFreedRunIsLost) {
  PageRun buffer(&pages, 40, 16);
  pages.Withhold(40, 1);
  buffer.Reset();
  pages.EndWithholding(/*host_let_go=*/false);
  EXPECT_EQ(pages.freed, Runs());
  EXPECT_EQ(pages.lost, (Runs{{40, 16}}));
}

TEST_F(WithheldPagesTest, ARunThatOutlivesTheConnectionIsFreeOrLostAsTheEndWas) {
  PageRun good(&pages, 40, 4);
  pages.Withhold(40, 4);
  pages.EndWithholding(/*host_let_go=*/true);
  good.Reset();
  EXPECT_EQ(pages.freed, (Runs{{40, 4}}));

  pages.BeginWithholding();
  PageRun bad(&pages, 60, 4);
  pages.Withhold(63, 1);
  pages.EndWithholding(/*host_let_go=*/false);
  pages.BeginWithholding();
  pages.EndWithholding(/*host_let_go=*/true);  // of a later connection, which knows nothing of it
  bad.Reset();
  EXPECT_EQ(pages.lost, (Runs{{60, 4}}));
}

// Storage campaign, seed 6551: a device that ended after the crash path kept its pages in no account.
TEST_F(WithheldPagesTest, WhatIsWithheldAfterAnEndIsFreeOrLostAsThatWasUntilTheNextConnection) {
  const auto withhold = [this](Pfn first) {
    PageRun run(&pages, first, 4);
    pages.Withhold(first + 1, 1);
  };
  pages.EndWithholding(/*host_let_go=*/false);
  withhold(40);
  EXPECT_EQ(pages.lost, (Runs{{40, 4}}));
  pages.BeginWithholding();
  withhold(60);
  EXPECT_EQ(pages.withheld(), 4u);
  pages.EndWithholding(/*host_let_go=*/true);
  EXPECT_EQ(pages.freed, (Runs{{60, 4}}));
  withhold(80);
  EXPECT_EQ(pages.freed, (Runs{{60, 4}, {80, 4}}));
  EXPECT_EQ(pages.withheld(), 0u);
  EXPECT_EQ(pages.lost, (Runs{{40, 4}}));
}

TEST_F(WithheldPagesTest, NeighboursAndLaterRunsOfTheSamePagesAreNotWithheld) {
  PageRun before(&pages, 36, 4);
  PageRun buffer(&pages, 40, 4);
  PageRun behind(&pages, 44, 4);
  pages.Withhold(40, 4);
  before.Reset();
  behind.Reset();
  EXPECT_EQ(pages.freed, (Runs{{36, 4}, {44, 4}}));
  buffer.Reset();
  pages.EndWithholding(true);
  pages.freed.clear();
  PageRun again(&pages, 40, 4);
  again.Reset();
  EXPECT_EQ(pages.freed, (Runs{{40, 4}}));
}

}  // namespace
}  // namespace vmbuskit
