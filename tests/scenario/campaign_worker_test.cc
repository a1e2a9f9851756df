#include "tests/scenario/campaign_worker.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tests/scenario/campaign_testing.h"

namespace vmbuskit {
namespace {

TEST(CampaignBoard, HandsOutEachIndexOnceUntilTheEndOrAStop) {
  CampaignBoard board = *CampaignBoard::Create(2);
  EXPECT_EQ(board.workers(), 2u);
  EXPECT_EQ(board.Take(3), 0u);
  EXPECT_EQ(board.Take(3), 1u);
  EXPECT_EQ(board.Take(3), 2u);
  EXPECT_EQ(board.Take(3), std::nullopt);
  CampaignBoard stopped = *CampaignBoard::Create(1);
  EXPECT_EQ(stopped.Take(3), 0u);
  stopped.Stop();
  EXPECT_EQ(stopped.Take(3), std::nullopt);
}

TEST(CampaignBoard, SaysAtWhichSeedAWorkerIs) {
  CampaignBoard board = *CampaignBoard::Create(2);
  CampaignWorkerSlot& slot = board.worker(1);
  EXPECT_FALSE(slot.busy());
  slot.Begin(77);
  EXPECT_TRUE(slot.busy());
  EXPECT_EQ(slot.seed(), 77u);
  EXPECT_FALSE(board.worker(0).busy());
  slot.End(PlainScenario({.seed = 77}));
  EXPECT_FALSE(slot.busy());
  EXPECT_EQ(slot.totals().seeds, 1u);
  EXPECT_EQ(slot.failure(), std::nullopt);
}

TEST(CampaignBoard, AddsUpItsWorkers) {
  CampaignBoard board = *CampaignBoard::Create(3);
  for (uint32_t worker = 0; worker < 3; ++worker) {
    board.worker(worker).Begin(worker + 10);
    board.worker(worker).End(PlainScenario({.seed = worker + 10}));
  }
  const CampaignTotals totals = board.totals();
  const CampaignTotals expected = PlainTotals(10, 3);
  EXPECT_EQ(totals.seeds, 3u);
  EXPECT_EQ(totals.turns, expected.turns);
  EXPECT_EQ(totals.virtual_time, expected.virtual_time);
  EXPECT_EQ(totals.faults, expected.faults);
  EXPECT_EQ(totals.packets, expected.packets);
  EXPECT_EQ(totals.signals, expected.signals);
  EXPECT_EQ(totals.needless_signals, expected.needless_signals);
  EXPECT_EQ(totals.hash, expected.hash);
}

TEST(CampaignBoard, CutsAFailureThatSaysTooMuch) {
  CampaignBoard board = *CampaignBoard::Create(1);
  board.worker(0).Begin(5);
  board.worker(0).Fail(FailureKind::kInvariant, std::string(100'000, 'x'));
  ASSERT_TRUE(board.worker(0).failure().has_value());
  EXPECT_EQ(board.worker(0).failure()->seed, 5u);
  EXPECT_EQ(board.worker(0).failure()->what, std::string(CampaignWorkerSlot::kWhatBytes, 'x'));
}

TEST(RunSeeds, RunsTheSeedsInOrderAndSomeOfThemTwice) {
  std::vector<uint64_t> seeds;
  const auto run = [&seeds](const ScenarioOptions& options) {
    seeds.push_back(options.seed);
    return PlainScenario(options);
  };
  CampaignBoard board = *CampaignBoard::Create(1);
  RunSeeds(board, 0, {.first = 10, .seeds = 5, .determinism_interval = 3}, run);
  EXPECT_EQ(seeds, (std::vector<uint64_t>{10, 10, 11, 12, 13, 13, 14}));
  EXPECT_EQ(board.totals().seeds, 5u);
  EXPECT_EQ(board.totals().hash, PlainTotals(10, 5).hash);
}

TEST(RunSeeds, StopsEverybodyAtAFailure) {
  const auto run = [](const ScenarioOptions& options) {
    ScenarioResult result = PlainScenario(options);
    if (options.seed == 2) result.status = absl::InternalError("a page is still shared");
    return result;
  };
  CampaignBoard board = *CampaignBoard::Create(2);
  RunSeeds(board, 1, {.first = 1, .seeds = 100}, run);
  EXPECT_EQ(board.totals().seeds, 2u);
  EXPECT_EQ(board.Take(100), std::nullopt);
  const std::optional<CampaignFailure> failure = board.worker(1).failure();
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->seed, 2u);
  EXPECT_EQ(failure->what, "INTERNAL: a page is still shared");
  EXPECT_EQ(board.worker(0).failure(), std::nullopt);
}

TEST(CheckSeed, IsNotContentWithASecondRunThatFails) {
  const auto fail = [](const ScenarioOptions& options) {
    ScenarioResult result = PlainScenario(options);
    result.status = absl::InternalError("late");
    return result;
  };
  const auto failure = CheckSeed({}, 0, PlainScenario({.seed = 1}), fail);
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->kind, FailureKind::kNondeterminism);
  EXPECT_NE(failure->what.find("(INTERNAL: late)"), std::string::npos);
}

}  // namespace
}  // namespace vmbuskit
