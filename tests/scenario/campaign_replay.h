// Seeds run in this very process, one after the other: for a debugger, and for a trace that is printed as it comes,
// up to the last line before a crash.
//
//   const CampaignResult result = ReplaySeeds(options, RunScenario, &std::cout);
//
// A seed whose two runs differ gets a last line that says where their traces part. Thread safety: one thread.
#ifndef VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_REPLAY_H_
#define VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_REPLAY_H_

#include <iosfwd>
#include <string>

#include "tests/scenario/campaign.h"

namespace vmbuskit {

// `trace` may be null. Ends at the first failure.
CampaignResult ReplaySeeds(const CampaignOptions& options, ScenarioFunction run,
                           std::ostream* trace);

// Where two texts first differ, as a sentence with both lines; "" when they do not.
std::string FirstDifference(const std::string& one, const std::string& other);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_REPLAY_H_
