// What the tests of the campaign share: a scenario that does nothing, well, at once.
//
//   CampaignResult result = *RunCampaign(options, PlainScenario, ShowNothing);
//
// Thread safety: plain functions.
#ifndef VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_TESTING_H_
#define VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_TESTING_H_

#include "absl/status/status.h"
#include "tests/scenario/campaign.h"

namespace vmbuskit {

inline ScenarioResult PlainScenario(const ScenarioOptions& options) {
  return {.status = absl::OkStatus(),
          .trace_hash = options.seed * 3,
          .turns = 10,
          .virtual_time = std::chrono::seconds(2),
          .faults = 3,
          .packets = 7,
          .signals = 200,
          .needless_signals = 1};
}

inline void ShowNothing(const CampaignProgress&) {}

// That of seeds which all are plain.
inline CampaignTotals PlainTotals(uint64_t first, uint64_t seeds) {
  CampaignTotals totals;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    totals.Add(seed, PlainScenario({.seed = seed}));
  }
  return totals;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_TESTING_H_
