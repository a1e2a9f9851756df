#include "tests/scenario/scenario.h"

#include <array>
#include <cstdio>
#include <map>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "tests/scenario/campaign.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kManySeeds = 200;

std::string Describe(const ScenarioResult& result) {
  char text[100];
  std::snprintf(text, sizeof text, "%016llx %llu turns %llu packets",
                static_cast<unsigned long long>(result.trace_hash),
                static_cast<unsigned long long>(result.turns),
                static_cast<unsigned long long>(result.packets));
  return text;
}

// What another process, with another seed of its hash tables, makes of the same seeds.
std::string HashInNewProcess(uint64_t first, uint64_t seeds) {
  const std::string command =
      "tests/scenario/campaign --jobs=1 --check-determinism=0 --json --first=" +
      std::to_string(first) + " --seeds=" + std::to_string(seeds);
  FILE* const pipe = popen(command.c_str(), "r");
  std::string output;
  std::array<char, 4096> part;
  while (pipe != nullptr && std::fgets(part.data(), part.size(), pipe) != nullptr)
    output += part.data();
  if (pipe != nullptr) pclose(pipe);
  const size_t hash = output.find("\"hash\":");
  return hash == std::string::npos ? "no hash in: " + output
                                   : output.substr(hash, output.find(',', hash) - hash);
}

TEST(Scenario, SameSeedIsTheSameRun) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const ScenarioResult once = RunScenario({.seed = seed});
    const ScenarioResult again = RunScenario({.seed = seed});
    EXPECT_TRUE(once.status.ok()) << seed << ": " << once.status;
    EXPECT_EQ(Describe(once), Describe(again)) << seed;
    EXPECT_GT(once.turns, 0u);
  }
}

TEST(Scenario, OtherSeedIsAnotherRun) {
  std::map<uint64_t, uint64_t> seeds;  // by hash
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto [entry, fresh] = seeds.emplace(RunScenario({.seed = seed}).trace_hash, seed);
    EXPECT_TRUE(fresh) << seed << " runs as " << entry->second;
  }
}

TEST(Scenario, SameSeedIsTheSameRunInEveryProcess) {
  const std::string one = HashInNewProcess(0, 40);
  EXPECT_EQ(one.find("no hash"), std::string::npos) << one;
  EXPECT_EQ(one, HashInNewProcess(0, 40));
  EXPECT_NE(one, HashInNewProcess(1, 40));
}

// The trace changes nothing.
TEST(Scenario, TracedRunIsTheSameRun) {
  std::ostringstream trace;
  const ScenarioResult traced = RunScenario({.seed = 3, .trace = &trace});
  EXPECT_EQ(Describe(traced), Describe(RunScenario({.seed = 3})));
  EXPECT_NE(trace.str().find("seed 3:"), std::string::npos);
}

TEST(Scenario, UnknownWorkloadFails) {
  EXPECT_EQ(RunScenario({.seed = 1, .workload = "none"}).status,
            absl::InvalidArgumentError("no workload none"));
}

TEST(StorageScenario, SameSeedIsTheSameRun) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const ScenarioResult once = RunScenario({.seed = seed, .workload = "storage"});
    EXPECT_TRUE(once.status.ok()) << seed << ": " << once.status;
    if (seed >= 12) continue;
    EXPECT_EQ(Describe(once), Describe(RunScenario({.seed = seed, .workload = "storage"}))) << seed;
  }
}

TEST(StorageScenario, WithoutFaultsEveryRequestSucceeds) {
  uint32_t with_traffic = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    std::ostringstream trace;
    const ScenarioResult result =
        RunScenario({.seed = seed, .workload = "storage", .faults = false, .trace = &trace});
    EXPECT_TRUE(result.status.ok()) << seed << ": " << result.status;
    EXPECT_EQ(trace.str().find("ends: medium error"), std::string::npos) << seed;
    // A scenario in which nothing is on offer has nothing to do.
    const bool offered = trace.str().find("host offers device") != std::string::npos;
    EXPECT_EQ(result.packets != 0, offered) << seed;
    with_traffic += offered;
  }
  EXPECT_GT(with_traffic, 30u);
}

TEST(FaultFreeScenario, InjectsNothingAndSignalsNothingNeedlessly) {
  CampaignTotals totals;
  for (uint64_t seed = 0; seed < kManySeeds; ++seed) {
    const ScenarioResult result = RunScenario({.seed = seed, .faults = false});
    EXPECT_TRUE(result.status.ok()) << seed << ": " << result.status;
    totals.Add(seed, result);
  }
  EXPECT_EQ(totals.faults, 0u);
  EXPECT_GT(totals.signals, 100 * kManySeeds);
  EXPECT_LT(totals.needless_percent(), 0.1) << totals.needless_signals << " of " << totals.signals;
}

// Every line of the plan is more than an intention: the trace tells of each fault at least once.
TEST(FaultPlan, EveryKindOfFaultIsInjected) {
  std::map<std::string, uint64_t> kinds = {
      {"goes to another one first", 0},
      {"interrupt of vp 0 lost for now", 0},
      {"interrupt of vp 0 late", 0},
      {"interrupt of vp 0 comes again later", 0},
      {"without a reason", 0},
      {"signal of vp 0 lost for now", 0},
      {"signal of vp 0 late", 0},
      {"signal of vp 0 comes again later", 0},
      {"signal of vp 0 served at once", 0},
      {"host holds back", 0},
      {"host never sends", 0},
      {", refused for now", 0},
      {"an error for an answer", 0},
      {"answers a question late", 0},
      {"never answers", 0},
      {"host takes back device", 0},
      {"leaves unanswered, after the RESCIND", 0},
      {"host offers device", 0},
      {"guest restarts device", 0},
      {"guest moves channel", 0},
      {"guest disconnects", 0},
      {"guest crashes\n", 0},
      {"guest crashes without a word", 0},
      {"host is saved and restored", 0},
      {"somebody writes", 0},
      {"host lies", 0},
  };
  uint64_t missing = kinds.size();
  for (uint64_t seed = 0; seed < 600 && missing != 0; ++seed) {
    std::ostringstream trace;
    const ScenarioResult result = RunScenario({.seed = seed, .trace = &trace});
    EXPECT_TRUE(result.status.ok()) << seed << ": " << result.status;
    const std::string text = trace.str();
    for (auto& [kind, count] : kinds) {
      if (count != 0) continue;
      if (text.find(kind) != std::string::npos) ++count, --missing;
    }
  }
  for (const auto& [kind, count] : kinds) EXPECT_NE(count, 0u) << kind;
}

}  // namespace
}  // namespace vmbuskit
