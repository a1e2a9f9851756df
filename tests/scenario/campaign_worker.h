// What one worker of a campaign does: takes seeds and runs them until there is none left, or one failed.
//
//   RunSeeds(board, /*worker=*/3, options, RunScenario);
//
// Thread safety: one thread per worker; see campaign_board.h. It makes no system call, so that it runs in a child
// process and in a unit test alike.
#ifndef VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_WORKER_H_
#define VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_WORKER_H_

#include <cstdint>
#include <optional>

#include "tests/scenario/campaign.h"
#include "tests/scenario/campaign_board.h"

namespace vmbuskit {

void RunSeeds(CampaignBoard& board, uint32_t worker, const CampaignOptions& options,
              ScenarioFunction run);

// The options that one seed of the campaign runs with.
ScenarioOptions SeedOptions(const CampaignOptions& options, uint64_t seed);

// What is wrong about `result`, when something is. `index` counts from the first seed: some of the seeds are run again
// to see whether they are deterministic.
std::optional<CampaignFailure> CheckSeed(const CampaignOptions& options, uint64_t index,
                                         const ScenarioResult& result, ScenarioFunction run);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_WORKER_H_
