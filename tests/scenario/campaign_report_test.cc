#include "tests/scenario/campaign_report.h"

#include <string>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/scenario/campaign_testing.h"

namespace vmbuskit {
namespace {

constexpr CampaignTotals kTotals = {.seeds = 250,
                                    .turns = 5000,
                                    .virtual_time = std::chrono::hours(9),
                                    .faults = 31,
                                    .packets = 1200,
                                    .signals = 400,
                                    .needless_signals = 3,
                                    .lun_resets = 17,
                                    .bus_resets = 2,
                                    .hash = 0xabcdef};

CampaignResult Passed() {
  return {.totals = kTotals, .failures = 0, .failure = {}, .wall_time = std::chrono::seconds(10)};
}

CampaignResult Failed(FailureKind kind = FailureKind::kInvariant) {
  CampaignResult result = Passed();
  result.failures = 1;
  result.failure =
      CampaignFailure{.seed = 251, .kind = kind, .what = "it broke", .alone = Reproduction::kSame};
  return result;
}

TEST(CampaignProgress, IsABarWithTheFiguresOnATerminal) {
  const CampaignOptions options = {.seeds = 1000};
  const CampaignProgress progress = {.totals = kTotals, .wall_time = std::chrono::seconds(10)};
  EXPECT_EQ(ProgressBar(options, progress, 200),
            "[======                  ] 250/1000 seeds, 25 seeds/s, ETA 30 s, 3240 virtual s/s");
  EXPECT_EQ(ProgressBar(options, progress, 10), "[======   ");
}

TEST(CampaignProgress, IsALineInALog) {
  const CampaignOptions options = {.seeds = 1'000'000};
  const CampaignProgress progress = {.totals = kTotals, .wall_time = std::chrono::seconds(10)};
  EXPECT_EQ(ProgressLine(options, progress),
            "campaign: 250/1000000 seeds, 25 seeds/s, ETA 11.1 h, 3240 virtual s/s\n");
  EXPECT_EQ(ProgressLine(options, {}),
            "campaign: 0/1000000 seeds, 0 seeds/s, ETA unknown, 0 virtual s/s\n");
}

TEST(CampaignReplay, IsTheShortestCommand) {
  const CampaignFailure failure = {.seed = 42, .what = {}};
  EXPECT_EQ(ReplayCommand({.first = 7, .seeds = 100, .jobs = 9}, failure),
            "bazel run -c opt //tests/scenario:campaign -- --first=42 --seeds=1 --trace");
  EXPECT_EQ(ReplayCommand({.workload = "storm", .faults = false}, failure),
            "bazel run -c opt //tests/scenario:campaign -- --first=42 --seeds=1 --trace "
            "--workload=storm --no-faults");
}

TEST(CampaignSummary, HasAllFigures) {
  EXPECT_EQ(SummaryText({.first = 5, .seeds = 250, .jobs = 2}, Passed()),
            "seeds      250 of 250, from 5; 0 failed\n"
            "time       10.0 s, 25 seeds/s, 2 jobs\n"
            "simulated  9.00 virtual hours, 3240 virtual seconds a second\n"
            "events     5000 turns, 1200 packets, 31 faults injected\n"
            "signals    400 sent, 3 needless (0.75 %)\n"
            "hash       0000000000abcdef\n");
}

TEST(CampaignSummary, ShowsOfDisksWhatCanBeCountedThere) {
  const CampaignOptions options = {.first = 5, .seeds = 250, .jobs = 2, .workload = "storage"};
  EXPECT_NE(SummaryText(options, Passed())
                .find("events     5000 turns, 1200 disk requests, 31 faults injected\n"
                      "resets     17 of LUNs, 2 of buses\n"
                      "hash       0000000000abcdef\n"),
            std::string::npos);
  const auto json = nlohmann::json::parse(SummaryJson(options, Passed()));
  EXPECT_EQ(json["disk_requests"], 1200);
  EXPECT_EQ(json["lun_resets"], 17);
  EXPECT_EQ(json["bus_resets"], 2);
  for (const char* other : {"packets", "signals", "needless_signals", "needless_percent"}) {
    EXPECT_FALSE(json.contains(other)) << other;
  }
}

TEST(CampaignSummary, EndsWithTheFailureAndItsReplay) {
  const auto last_lines = [](const CampaignResult& result) {
    const std::string text = SummaryText({.seeds = 1000}, result);
    return text.substr(text.find("seed 251"));
  };
  const std::string replay =
      "replay it with\n  bazel run -c opt //tests/scenario:campaign -- --first=251 --seeds=1 "
      "--trace\n";
  EXPECT_EQ(last_lines(Failed()), "seed 251 failed: it broke\nthe same when run alone; " + replay);
  EXPECT_EQ(last_lines(Failed(FailureKind::kHang)),
            "seed 251 hung: it broke\nthe same when run alone; " + replay);
  EXPECT_EQ(last_lines(Failed(FailureKind::kNondeterminism)),
            "seed 251 is not deterministic: it broke\nthe same when run alone; " + replay);
  CampaignResult crash = Failed(FailureKind::kCrash);
  crash.failure->alone = Reproduction::kNone;
  EXPECT_EQ(last_lines(crash),
            "seed 251 crashed: it broke\n"
            "passes when run alone: an earlier seed of its worker left something behind; " +
                replay);
  crash.failure->alone = Reproduction::kNotTried;
  EXPECT_EQ(last_lines(crash), "seed 251 crashed: it broke\n" + replay);
}

TEST(CampaignSummary, SaysTheSameInJson) {
  const auto json = nlohmann::json::parse(SummaryJson({.seeds = 1000, .jobs = 2}, Failed()));
  EXPECT_EQ(json["workload"], "foundation");
  EXPECT_EQ(json["first"], 1);
  EXPECT_EQ(json["seeds_wanted"], 1000);
  EXPECT_EQ(json["seeds"], 250);
  EXPECT_EQ(json["jobs"], 2);
  EXPECT_EQ(json["failures"], 1);
  EXPECT_EQ(json["virtual_hours"], 9.0);
  EXPECT_EQ(json["wall_seconds"], 10.0);
  EXPECT_EQ(json["turns"], 5000);
  EXPECT_EQ(json["packets"], 1200);
  EXPECT_EQ(json["faults"], 31);
  EXPECT_EQ(json["signals"], 400);
  EXPECT_EQ(json["needless_percent"], 0.75);
  EXPECT_FALSE(json.contains("lun_resets"));
  EXPECT_EQ(json["hash"], "0000000000abcdef");
  EXPECT_EQ(json["exit_code"], 1);
  EXPECT_EQ(json["failure"]["seed"], 251);
  EXPECT_EQ(json["failure"]["kind"], "invariant");
  EXPECT_EQ(json["failure"]["what"], "it broke");
  EXPECT_EQ(json["failure"]["alone"], "same");
  EXPECT_FALSE(nlohmann::json::parse(SummaryJson({}, Passed())).contains("failure"));
}

TEST(CampaignSummary, SurvivesBytesThatAreNoText) {
  CampaignResult result = Failed();
  result.failure->what = "name \xff\xfe";
  const auto json = nlohmann::json::parse(SummaryJson({}, result));
  EXPECT_EQ(json["failure"]["what"], "name \xef\xbf\xbd\xef\xbf\xbd");
}

TEST(CampaignExit, TellsHowItEnded) {
  CampaignResult interrupted = Passed();
  interrupted.interrupted = true;
  EXPECT_EQ(ExitCode({}, Passed()), 0);
  EXPECT_EQ(ExitCode({}, Failed()), 1);
  EXPECT_EQ(ExitCode({}, interrupted), 130);
}

TEST(CampaignExit, IsAFailureWithNeedlessSignalsWhereThereWereNoFaults) {
  CampaignResult result = Passed();
  result.totals.needless_signals = 4;
  EXPECT_EQ(ExitCode({.faults = true}, result), 0);
  EXPECT_EQ(ExitCode({.faults = false}, result), 1);
  EXPECT_NE(SummaryText({.faults = false}, result)
                .find("1.00 % of the signals were needless without any fault; the limit is 1.00 %"),
            std::string::npos);
  result.totals.needless_signals = 3;
  EXPECT_EQ(ExitCode({.faults = false}, result), 0);
}

}  // namespace
}  // namespace vmbuskit
