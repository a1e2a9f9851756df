#include "tests/scenario/campaign_replay.h"

#include <optional>
#include <ostream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "tests/scenario/campaign_process.h"
#include "tests/scenario/campaign_worker.h"

namespace vmbuskit {
namespace {

std::string Trace(ScenarioOptions options, ScenarioFunction run) {
  std::ostringstream text;
  options.trace = &text;
  run(options);
  return text.str();
}

// A seed that is not deterministic, twice more.
std::string WhereTracesPart(const ScenarioOptions& options, ScenarioFunction run) {
  const std::string first = Trace(options, run);
  const std::string difference = FirstDifference(first, Trace(options, run));
  return difference.empty() ? "the traces of two more runs are the same" : difference;
}

}  // namespace

CampaignResult ReplaySeeds(const CampaignOptions& options, ScenarioFunction run,
                           std::ostream* trace) {
  CampaignResult result;
  const Duration start = WallTime();
  for (uint64_t index = 0; index < options.seeds && !result.failure; ++index) {
    const uint64_t seed = options.first + index;
    ScenarioOptions seed_options = SeedOptions(options, seed);
    seed_options.trace = trace;
    const ScenarioResult one = run(seed_options);
    result.totals.Add(seed, one);
    result.failure = CheckSeed(options, index, one, run);
    if (!result.failure) continue;
    result.failures = 1;
    if (result.failure->kind != FailureKind::kNondeterminism || trace == nullptr) continue;
    seed_options.trace = nullptr;
    *trace << WhereTracesPart(seed_options, run) << "\n";
  }
  result.wall_time = WallTime() - start;
  return result;
}

std::string FirstDifference(const std::string& one, const std::string& other) {
  std::istringstream lines(one);
  std::istringstream other_lines(other);
  for (size_t number = 1;; ++number) {
    std::string line;
    std::string other_line;
    const bool more = !std::getline(lines, line).fail();
    const bool other_more = !std::getline(other_lines, other_line).fail();
    if (!more && !other_more) return "";
    if (!more) line = "(the end)";
    if (!other_more) other_line = "(the end)";
    if (more != other_more || line != other_line) {
      return absl::StrCat("line ", number, " differs:\n  ", line, "\n  ", other_line);
    }
  }
}

}  // namespace vmbuskit
