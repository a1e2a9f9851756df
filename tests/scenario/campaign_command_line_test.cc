#include "tests/scenario/campaign_command_line.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

CampaignCommandLine Parse(std::vector<const char*> arguments, uint32_t cpus = 2) {
  arguments.insert(arguments.begin(), "campaign");
  return ParseCampaignCommandLine(static_cast<int>(arguments.size()), arguments.data(), cpus);
}

TEST(CampaignCommandLine, HasDefaults) {
  const CampaignCommandLine line = Parse({});
  EXPECT_TRUE(line.run);
  EXPECT_EQ(line.options.first, 1u);
  EXPECT_EQ(line.options.seeds, 1000u);
  EXPECT_EQ(line.options.jobs, 2u);
  EXPECT_EQ(line.options.workload, "foundation");
  EXPECT_TRUE(line.options.faults);
  EXPECT_EQ(line.options.determinism_interval, 1000u);
  EXPECT_EQ(line.options.watchdog, std::chrono::seconds(60));
  EXPECT_FALSE(line.trace);
  EXPECT_FALSE(line.json);
  EXPECT_EQ(Parse({}, 0).options.jobs, 1u);
  EXPECT_EQ(Parse({}, 9999).options.jobs, kCampaignJobsMax);
}

TEST(CampaignCommandLine, MayHaveEverything) {
  const CampaignCommandLine line =
      Parse({"--seeds=50", "--first=0", "--jobs=7", "--workload=storm", "--no-faults",
             "--check-determinism=0", "--watchdog=5", "--trace", "--json"});
  EXPECT_TRUE(line.run);
  EXPECT_EQ(line.options.first, 0u);
  EXPECT_EQ(line.options.seeds, 50u);
  EXPECT_EQ(line.options.jobs, 7u);
  EXPECT_EQ(line.options.workload, "storm");
  EXPECT_FALSE(line.options.faults);
  EXPECT_EQ(line.options.determinism_interval, 0u);
  EXPECT_EQ(line.options.watchdog, std::chrono::seconds(5));
  EXPECT_TRUE(line.trace);
  EXPECT_TRUE(line.json);
}

TEST(CampaignCommandLine, TakesLargeSeeds) {
  EXPECT_EQ(Parse({"--first=12345678901234567890"}).options.first, 12345678901234567890u);
}

TEST(CampaignCommandLine, AsksForHelp) {
  const CampaignCommandLine line = Parse({"--help"});
  EXPECT_FALSE(line.run);
  EXPECT_EQ(line.exit_code, 0);
  EXPECT_EQ(line.error, "");
  for (const char* option : {"--seeds", "--first", "--jobs", "--workload", "--no-faults",
                             "--check-determinism", "--watchdog", "--trace", "--json"}) {
    EXPECT_NE(line.output.find(option), std::string::npos) << option;
  }
}

TEST(CampaignCommandLine, WithAMistakeSaysSoInOneLine) {
  const std::vector<std::vector<const char*>> mistakes = {
      {"--seeds=0"},  {"--seeds=-1"},   {"--seeds=many"},
      {"--jobs=0"},   {"--jobs=257"},   {"--seed=1"},
      {"7"},          {"--watchdog=0"}, {"--first=18446744073709551615"},
      {"--workload"},
  };
  for (const auto& arguments : mistakes) {
    const CampaignCommandLine line = Parse(arguments);
    EXPECT_FALSE(line.run) << arguments[0];
    EXPECT_EQ(line.exit_code, 2) << arguments[0];
    EXPECT_EQ(line.error.rfind("campaign: ", 0), 0u) << line.error;
    EXPECT_EQ(line.error.find('\n'), line.error.size() - 1) << line.error;
  }
}

}  // namespace
}  // namespace vmbuskit
