// Many seeds of a scenario, in worker processes: an assertion, a memory error or an endless loop in one seed
// ends one worker and is reported as that seed's failure, not as the end of the campaign.
//
//   const CampaignOptions options = {.first = 1, .seeds = 10'000, .jobs = 2};
//   absl::StatusOr<CampaignResult> result = RunCampaign(options, RunScenario, ShowProgress);
//   if (result.ok() && result->failure) Report(result->failure->seed, result->failure->what);
//
// Seeds are taken in ascending order. At the first failure no further seed is taken, but those that run end: the
// failure that is reported is that of the lowest failing seed, whatever the number of jobs. It is run once more, alone
// in a process, to say whether it comes again. Totals and hash do not depend on the number of jobs either.
//
// Thread safety: the process must have one thread only (workers are forks). SIGINT and SIGTERM end the campaign early
// while it runs: at the first one the running seeds end, at the second (of the other kind, or later) the workers are
// killed. SIGCHLD is taken, other children of the process are left alone.
// Units: wall time is real time, virtual time the simulator's. Errors: what the system refused (memory, a process).
#ifndef VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_H_
#define VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "platform/time.h"
#include "tests/scenario/scenario.h"

namespace vmbuskit {

inline constexpr uint32_t kCampaignJobsMax = 256;

struct CampaignOptions {
  uint64_t first = 1;
  uint64_t seeds = 1000;  // first + seeds must not overflow
  uint32_t jobs = 1;      // 1 to kCampaignJobsMax
  std::string workload = "foundation";
  bool faults = true;
  // Every so many seeds one is run twice, beginning with the first: its trace hash must be the same. 0: none.
  uint64_t determinism_interval = 1000;
  Duration watchdog = std::chrono::seconds(60);  // a seed that takes longer counts as hanging
};

struct CampaignTotals {
  uint64_t seeds = 0;  // that ended, well or with a broken invariant
  uint64_t turns = 0;
  Duration virtual_time{};
  uint64_t faults = 0;
  uint64_t packets = 0;
  uint64_t signals = 0;
  uint64_t needless_signals = 0;
  uint64_t lun_resets = 0;
  uint64_t bus_resets = 0;
  uint64_t hash = 0;  // over the trace hashes of all seeds, in any order

  void Add(uint64_t seed, const ScenarioResult& result);
  // Of the signals; 0 when there were none.
  double needless_percent() const;
};

enum class FailureKind : uint8_t { kInvariant, kNondeterminism, kCrash, kHang };

enum class Reproduction : uint8_t { kNotTried, kSame, kOther, kNone };

struct CampaignFailure {
  uint64_t seed = 0;
  FailureKind kind = FailureKind::kInvariant;
  std::string what;  // the invariant, the signal, ...
  Reproduction alone = Reproduction::kNotTried;
};

struct CampaignResult {
  CampaignTotals totals;
  uint64_t failures = 0;                   // found before all workers had ended
  std::optional<CampaignFailure> failure;  // that of the lowest seed
  bool interrupted = false;
  Duration wall_time{};
};

struct CampaignProgress {
  CampaignTotals totals;
  Duration wall_time{};
  bool last = false;
};

using ScenarioFunction = absl::FunctionRef<ScenarioResult(const ScenarioOptions&)>;
// Called in the campaign's own process, about ten times a second.
using ProgressFunction = absl::FunctionRef<void(const CampaignProgress&)>;

absl::StatusOr<CampaignResult> RunCampaign(const CampaignOptions& options, ScenarioFunction run,
                                           ProgressFunction show);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_H_
