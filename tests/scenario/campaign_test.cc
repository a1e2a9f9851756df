#include "tests/scenario/campaign.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tests/scenario/campaign_testing.h"

namespace vmbuskit {
namespace {

CampaignResult RunAll(const CampaignOptions& options, ScenarioFunction run) {
  absl::StatusOr<CampaignResult> result = RunCampaign(options, run, ShowNothing);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *result : CampaignResult();
}

// The default action, also where a sanitizer took the signal.
void Die(int signal_number) {
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

[[noreturn]] void Hang() {
  while (true) pause();
}

ScenarioResult Broken(const ScenarioOptions& options) {
  ScenarioResult result = PlainScenario(options);
  result.status = absl::InternalError("request 12 never ended");
  return result;
}

TEST(Campaign, RunsEverySeedOnceAndAddsUp) {
  const CampaignResult result =
      RunAll({.first = 100, .seeds = 57, .jobs = 3, .determinism_interval = 0}, PlainScenario);
  EXPECT_FALSE(result.failure.has_value());
  EXPECT_FALSE(result.interrupted);
  EXPECT_EQ(result.failures, 0u);
  EXPECT_EQ(result.totals.seeds, 57u);
  EXPECT_EQ(result.totals.turns, 570u);
  EXPECT_EQ(result.totals.virtual_time, std::chrono::seconds(114));
  EXPECT_EQ(result.totals.faults, 171u);
  EXPECT_EQ(result.totals.packets, 399u);
  EXPECT_EQ(result.totals.signals, 11'400u);
  EXPECT_EQ(result.totals.needless_signals, 57u);
  EXPECT_EQ(result.totals.needless_percent(), 0.5);
  EXPECT_EQ(result.totals.hash, PlainTotals(100, 57).hash);
}

TEST(Campaign, HashIsTheSameForAnyNumberOfJobsAndNotForOtherSeeds) {
  std::set<uint64_t> hashes;
  for (uint32_t jobs : {1, 2, 5}) {
    hashes.insert(RunAll({.seeds = 40, .jobs = jobs}, PlainScenario).totals.hash);
  }
  EXPECT_EQ(hashes.size(), 1u);
  hashes.insert(RunAll({.first = 2, .seeds = 40}, PlainScenario).totals.hash);
  hashes.insert(RunAll({.seeds = 41}, PlainScenario).totals.hash);
  EXPECT_EQ(hashes.size(), 3u);
  // Two seeds that exchange their traces are another campaign.
  const auto swapped = [](const ScenarioOptions& options) {
    ScenarioResult result = PlainScenario(options);
    if (options.seed == 1 || options.seed == 2) result.trace_hash = (3 - options.seed) * 3;
    return result;
  };
  hashes.insert(RunAll({.seeds = 40}, swapped).totals.hash);
  EXPECT_EQ(hashes.size(), 4u);
}

TEST(Campaign, HandsItsOptionsToTheScenario) {
  const auto check = [](const ScenarioOptions& options) {
    const bool as_asked = options.workload == "storm" && !options.faults &&
                          options.trace == nullptr && options.seed == 9;
    return as_asked ? PlainScenario(options) : Broken(options);
  };
  const CampaignResult result =
      RunAll({.first = 9, .seeds = 1, .workload = "storm", .faults = false}, check);
  EXPECT_FALSE(result.failure.has_value());
}

TEST(Campaign, StopsAtABrokenInvariant) {
  const auto run = [](const ScenarioOptions& options) {
    return options.seed == 6 ? Broken(options) : PlainScenario(options);
  };
  const CampaignResult result = RunAll({.seeds = 1'000'000, .jobs = 1}, run);
  ASSERT_TRUE(result.failure.has_value());
  EXPECT_EQ(result.failure->seed, 6u);
  EXPECT_EQ(result.failure->kind, FailureKind::kInvariant);
  EXPECT_EQ(result.failure->what, "INTERNAL: request 12 never ended");
  EXPECT_EQ(result.failure->alone, Reproduction::kSame);
  EXPECT_EQ(result.failures, 1u);
  EXPECT_EQ(result.totals.seeds, 6u);
}

TEST(Campaign, ReportsTheLowestFailingSeedWhateverTheJobs) {
  const auto run = [](const ScenarioOptions& options) {
    return options.seed >= 20 ? Broken(options) : PlainScenario(options);
  };
  for (uint32_t jobs : {1, 2, 8}) {
    const CampaignResult result = RunAll({.seeds = 1000, .jobs = jobs}, run);
    ASSERT_TRUE(result.failure.has_value());
    EXPECT_EQ(result.failure->seed, 20u) << jobs << " jobs";
    EXPECT_GE(result.failures, 1u);
    EXPECT_LE(result.failures, jobs);
    EXPECT_EQ(result.totals.seeds, 19 + result.failures);
  }
}

TEST(Campaign, SeesThatASeedFailsOnlyAfterOthers) {
  int runs = 0;  // each worker process has its own
  const auto run = [&runs](const ScenarioOptions& options) {
    return ++runs == 4 ? Broken(options) : PlainScenario(options);
  };
  const CampaignResult result = RunAll({.seeds = 10, .determinism_interval = 0}, run);
  ASSERT_TRUE(result.failure.has_value());
  EXPECT_EQ(result.failure->seed, 4u);
  EXPECT_EQ(result.failure->alone, Reproduction::kNone);
}

TEST(Campaign, SurvivesACrashAndNamesItsSeed) {
  for (const int signal_number : {SIGABRT, SIGSEGV}) {
    const auto run = [signal_number](const ScenarioOptions& options) {
      if (options.seed == 5) Die(signal_number);
      return PlainScenario(options);
    };
    const CampaignResult result = RunAll({.seeds = 1000, .jobs = 1}, run);
    ASSERT_TRUE(result.failure.has_value());
    EXPECT_EQ(result.failure->seed, 5u);
    EXPECT_EQ(result.failure->kind, FailureKind::kCrash);
    EXPECT_EQ(result.failure->what,
              signal_number == SIGABRT ? "signal 6 (Aborted)" : "signal 11 (Segmentation fault)");
    EXPECT_EQ(result.failure->alone, Reproduction::kSame);
    EXPECT_EQ(result.totals.seeds, 4u);
    EXPECT_EQ(result.totals.hash, PlainTotals(1, 4).hash);
  }
}

TEST(Campaign, SeesAProcessThatEndsInTheMiddleOfASeed) {
  for (const int status : {0, 23}) {
    const auto run = [status](const ScenarioOptions& options) {
      if (options.seed == 3) _exit(status);
      return PlainScenario(options);
    };
    const CampaignResult result = RunAll({.seeds = 8, .jobs = 2}, run);
    ASSERT_TRUE(result.failure.has_value());
    EXPECT_EQ(result.failure->seed, 3u);
    EXPECT_EQ(result.failure->kind, FailureKind::kCrash);
    EXPECT_EQ(result.failure->what,
              status == 0 ? "the process ended in the middle of the seed"
                          : "the process ended with status 23 (as after a sanitizer's report)");
  }
}

TEST(Campaign, EndsASeedThatHangs) {
  const auto run = [](const ScenarioOptions& options) {
    if (options.seed == 2) Hang();
    return PlainScenario(options);
  };
  const CampaignResult result =
      RunAll({.seeds = 2, .jobs = 1, .watchdog = std::chrono::milliseconds(500)}, run);
  ASSERT_TRUE(result.failure.has_value());
  EXPECT_EQ(result.failure->seed, 2u);
  EXPECT_EQ(result.failure->kind, FailureKind::kHang);
  EXPECT_EQ(result.failure->what, "no end within 0.5 s of wall time");
  EXPECT_EQ(result.failure->alone, Reproduction::kSame);
  EXPECT_EQ(result.totals.seeds, 1u);
}

TEST(Campaign, FindsASeedWhoseRunsDiffer) {
  uint64_t runs = 0;
  const auto run = [&runs](const ScenarioOptions& options) {
    ScenarioResult result = PlainScenario(options);
    if (options.seed == 9) result.trace_hash += ++runs;
    return result;
  };
  const CampaignResult result = RunAll({.seeds = 100, .determinism_interval = 4}, run);
  ASSERT_TRUE(result.failure.has_value());
  EXPECT_EQ(result.failure->seed, 9u);
  EXPECT_EQ(result.failure->kind, FailureKind::kNondeterminism);
  EXPECT_EQ(result.failure->what,
            "two runs differ: trace hash 000000000000001c after 10 turns, then 000000000000001d "
            "after 10 turns (OK)");
  EXPECT_EQ(result.failure->alone, Reproduction::kSame);
  EXPECT_EQ(result.totals.seeds, 9u);
  // A seed that is not run twice tells nothing.
  EXPECT_FALSE(RunAll({.seeds = 100, .determinism_interval = 5}, run).failure.has_value());
  EXPECT_FALSE(RunAll({.seeds = 100, .determinism_interval = 0}, run).failure.has_value());
}

TEST(Campaign, EndsTheRunningSeedsWhenInterrupted) {
  for (const int signal_number : {SIGINT, SIGTERM}) {
    const auto run = [signal_number](const ScenarioOptions& options) {
      if (options.seed == 5) kill(getppid(), signal_number);
      return PlainScenario(options);
    };
    const CampaignResult result = RunAll({.seeds = 1'000'000'000'000, .jobs = 2}, run);
    EXPECT_TRUE(result.interrupted);
    EXPECT_FALSE(result.failure.has_value());
    EXPECT_GE(result.totals.seeds, 5u);
    EXPECT_EQ(result.totals.hash, PlainTotals(1, result.totals.seeds).hash);
  }
}

TEST(Campaign, KillsTheWorkersWhenInterruptedTwice) {
  const auto run = [](const ScenarioOptions& options) {
    if (options.seed != 3) return PlainScenario(options);
    kill(getppid(), SIGINT);
    kill(getppid(), SIGTERM);
    Hang();
  };
  const CampaignResult result = RunAll({.seeds = 10, .jobs = 1}, run);
  EXPECT_TRUE(result.interrupted);
  EXPECT_FALSE(result.failure.has_value());
  EXPECT_EQ(result.totals.seeds, 2u);
}

TEST(Campaign, LeavesTheWorkersDeafToATerminalsSignals) {
  const auto run = [](const ScenarioOptions& options) {
    kill(getpid(), SIGINT);
    kill(getpid(), SIGTERM);
    return PlainScenario(options);
  };
  EXPECT_EQ(RunAll({.seeds = 10, .jobs = 2}, run).totals.seeds, 10u);
}

TEST(Campaign, LeavesTheSignalsOfItsProcessAsTheyWere) {
  sigset_t before;
  sigprocmask(SIG_BLOCK, nullptr, &before);
  RunAll({.seeds = 3}, PlainScenario);
  sigset_t after;
  sigprocmask(SIG_BLOCK, nullptr, &after);
  for (int signal_number : {SIGINT, SIGTERM, SIGCHLD}) {
    EXPECT_EQ(sigismember(&after, signal_number), sigismember(&before, signal_number));
  }
}

TEST(Campaign, ShowsProgressUpToTheLastSeed) {
  std::vector<CampaignProgress> shown;
  const auto show = [&shown](const CampaignProgress& progress) { shown.push_back(progress); };
  ASSERT_TRUE(RunCampaign({.seeds = 12, .jobs = 2}, PlainScenario, show).ok());
  ASSERT_FALSE(shown.empty());
  for (size_t i = 0; i < shown.size(); ++i) EXPECT_EQ(shown[i].last, i + 1 == shown.size());
  EXPECT_EQ(shown.back().totals.seeds, 12u);
}

}  // namespace
}  // namespace vmbuskit
