#include "tests/scenario/campaign_worker.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace vmbuskit {

ScenarioOptions SeedOptions(const CampaignOptions& options, uint64_t seed) {
  return {.seed = seed, .workload = options.workload, .faults = options.faults, .trace = nullptr};
}

std::optional<CampaignFailure> CheckSeed(const CampaignOptions& options, uint64_t index,
                                         const ScenarioResult& result, ScenarioFunction run) {
  const uint64_t seed = options.first + index;
  if (!result.status.ok()) {
    return CampaignFailure{.seed = seed,
                           .kind = FailureKind::kInvariant,
                           .what = result.status.ToString(absl::StatusToStringMode::kDefault)};
  }
  const uint64_t interval = options.determinism_interval;
  if (interval == 0 || index % interval != 0) return std::nullopt;
  const ScenarioResult again = run(SeedOptions(options, seed));
  if (again.trace_hash == result.trace_hash && again.status.ok()) return std::nullopt;
  return CampaignFailure{
      .seed = seed,
      .kind = FailureKind::kNondeterminism,
      .what = absl::StrFormat(
          "two runs differ: trace hash %016x after %d turns, then %016x after %d turns (%s)",
          result.trace_hash, result.turns, again.trace_hash, again.turns, again.status.ToString())};
}

void RunSeeds(CampaignBoard& board, uint32_t worker, const CampaignOptions& options,
              ScenarioFunction run) {
  CampaignWorkerSlot& slot = board.worker(worker);
  while (const std::optional<uint64_t> index = board.Take(options.seeds)) {
    const uint64_t seed = options.first + *index;
    slot.Begin(seed);
    const ScenarioResult result = run(SeedOptions(options, seed));
    const std::optional<CampaignFailure> failure = CheckSeed(options, *index, result, run);
    slot.End(result);
    if (!failure) continue;
    slot.Fail(failure->kind, failure->what);
    board.Stop();
    return;
  }
}

}  // namespace vmbuskit
