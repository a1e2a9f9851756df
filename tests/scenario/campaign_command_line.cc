#include "tests/scenario/campaign_command_line.h"

#include <algorithm>
#include <limits>

#include "CLI/CLI.hpp"

namespace vmbuskit {
namespace {

constexpr int kExitUsage = 2;
constexpr uint64_t kSeedsMax = 1'000'000'000'000;
constexpr uint32_t kWatchdogMaxSeconds = 86'400;

constexpr char kAbout[] =
    "Runs the whole system, guest and host, in virtual time under many seeds. Stops at the first "
    "seed that breaks an invariant, crashes or hangs, and says how to replay it.";
constexpr char kFooter[] =
    "Examples:\n"
    "  campaign --seeds=10000                  on every CPU\n"
    "  campaign --first=42 --seeds=1 --trace   one seed, in this process, with all that happens\n"
    "Exit status: 0 no failure, 1 a failure, 2 a wrong command line, 130 interrupted.";

// A check without its wordy mark in the help text.
template <typename Value>
CLI::Validator Between(Value lowest, Value highest) {
  return CLI::Range(lowest, highest).description("");
}

void AddOptions(CLI::App& app, CampaignCommandLine& line, uint32_t& watchdog_seconds) {
  CampaignOptions& options = line.options;
  app.add_option("--seeds", options.seeds, "how many seeds (default: 1000)")
      ->check(Between<uint64_t>(1, kSeedsMax))
      ->type_name("N");
  app.add_option("--first", options.first, "the first seed (default: 1)")
      ->check(Between<uint64_t>(0, std::numeric_limits<uint64_t>::max() - kSeedsMax))
      ->type_name("S");
  app.add_option("--jobs", options.jobs, "worker processes (default: one for each CPU)")
      ->check(Between<uint32_t>(1, kCampaignJobsMax))
      ->type_name("J");
  app.add_option("--workload", options.workload, "what the devices do (default: foundation)")
      ->type_name("NAME");
  app.add_flag("!--no-faults", options.faults, "inject no fault: the seed orders turns only");
  app.add_option("--check-determinism", options.determinism_interval,
                 "run one seed in K twice and compare; 0: none (default: 1000)")
      ->type_name("K");
  app.add_option("--watchdog", watchdog_seconds,
                 "a seed that takes so many seconds of real time hangs (default: 60)")
      ->check(Between<uint32_t>(1, kWatchdogMaxSeconds))
      ->type_name("SECONDS");
  app.add_flag("--trace", line.trace, "run in this process and print all that happens");
  app.add_flag("--json", line.json, "print the summary as one JSON object");
}

CampaignCommandLine Mistake(std::string message) {
  std::ranges::replace(message, '\n', ' ');
  message.erase(message.find_last_not_of(' ') + 1);
  CampaignCommandLine line;
  line.exit_code = kExitUsage;
  line.error = "campaign: " + message + "; see campaign --help\n";
  return line;
}

}  // namespace

CampaignCommandLine ParseCampaignCommandLine(int argc, const char* const* argv, uint32_t cpus) {
  CLI::App app(kAbout, "campaign");
  app.footer(kFooter);
  CampaignCommandLine line;
  line.options.jobs = std::clamp<uint32_t>(cpus, 1, kCampaignJobsMax);
  uint32_t watchdog_seconds = 60;
  AddOptions(app, line, watchdog_seconds);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    CampaignCommandLine help;
    help.output = app.help();
    return help;
  } catch (const CLI::ParseError& error) {
    return Mistake(error.what());
  }
  line.options.watchdog = std::chrono::seconds(watchdog_seconds);
  line.run = true;
  return line;
}

}  // namespace vmbuskit
