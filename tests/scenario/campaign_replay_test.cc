#include "tests/scenario/campaign_replay.h"

#include <ostream>
#include <sstream>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tests/scenario/campaign_testing.h"

namespace vmbuskit {
namespace {

ScenarioResult Telling(const ScenarioOptions& options) {
  if (options.trace != nullptr) *options.trace << "seed " << options.seed << " runs\n";
  return PlainScenario(options);
}

TEST(ReplaySeeds, TracesSeedsInOrderInThisProcess) {
  std::ostringstream trace;
  const CampaignResult result =
      ReplaySeeds({.first = 4, .seeds = 2, .determinism_interval = 1}, Telling, &trace);
  EXPECT_EQ(trace.str(), "seed 4 runs\nseed 5 runs\n");
  EXPECT_FALSE(result.failure.has_value());
  EXPECT_EQ(result.totals.seeds, 2u);
  EXPECT_EQ(result.totals.hash, PlainTotals(4, 2).hash);
}

TEST(ReplaySeeds, EndsAtAFailure) {
  const auto run = [](const ScenarioOptions& options) {
    ScenarioResult result = Telling(options);
    if (options.seed == 5) result.status = absl::InternalError("a relid leaked");
    return result;
  };
  std::ostringstream trace;
  const CampaignResult result = ReplaySeeds({.first = 4, .seeds = 9}, run, &trace);
  EXPECT_EQ(trace.str(), "seed 4 runs\nseed 5 runs\n");
  ASSERT_TRUE(result.failure.has_value());
  EXPECT_EQ(result.failure->seed, 5u);
  EXPECT_EQ(result.failure->what, "INTERNAL: a relid leaked");
  EXPECT_EQ(result.failures, 1u);
}

TEST(ReplaySeeds, NeedsNoTrace) {
  EXPECT_EQ(ReplaySeeds({.seeds = 3}, Telling, nullptr).totals.seeds, 3u);
}

TEST(ReplaySeeds, SaysWhereTheTracesOfASeedPart) {
  int runs = 0;
  const auto run = [&runs](const ScenarioOptions& options) {
    ScenarioResult result = Telling(options);
    result.trace_hash += static_cast<uint64_t>(++runs);
    if (options.trace != nullptr) *options.trace << "run " << runs << "\n";
    return result;
  };
  std::ostringstream trace;
  const CampaignResult result = ReplaySeeds({.first = 8, .seeds = 1}, run, &trace);
  ASSERT_TRUE(result.failure.has_value());
  EXPECT_EQ(result.failure->kind, FailureKind::kNondeterminism);
  EXPECT_EQ(trace.str(), "seed 8 runs\nrun 1\nline 2 differs:\n  run 3\n  run 4\n");
}

TEST(FirstDifference, ComparesLines) {
  EXPECT_EQ(FirstDifference("", ""), "");
  EXPECT_EQ(FirstDifference("a\nb\n", "a\nb\n"), "");
  EXPECT_EQ(FirstDifference("a\nb\n", "a\nc\n"), "line 2 differs:\n  b\n  c");
  EXPECT_EQ(FirstDifference("a\nb\n", "a\n"), "line 2 differs:\n  b\n  (the end)");
  EXPECT_EQ(FirstDifference("", "a\n"), "line 1 differs:\n  (the end)\n  a");
}

}  // namespace
}  // namespace vmbuskit
