// What a campaign says: its progress, the failure with the command that replays it, the summary.
//
//   PrintError(ProgressBar(options, progress, /*columns=*/80));      // on a terminal: redrawn in place
//   PrintText(SummaryText(options, *result));
//   return ExitCode(options, *result);
//
// Thread safety: plain functions.
#ifndef VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_REPORT_H_
#define VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_REPORT_H_

#include <cstddef>
#include <optional>
#include <string>

#include "tests/scenario/campaign.h"

namespace vmbuskit {

// Fault-free runs must stay below it.
inline constexpr double kNeedlessPercentMax = 1.0;

inline constexpr int kExitFailure = 1;
inline constexpr int kExitInterrupted = 130;

// A bar with the figures of `progress`, at most `columns` wide, without a line's end.
std::string ProgressBar(const CampaignOptions& options, const CampaignProgress& progress,
                        size_t columns);
// The same figures as a line for a log.
std::string ProgressLine(const CampaignOptions& options, const CampaignProgress& progress);

// The shortest command that runs `failure` again, with a trace of all that happens.
std::string ReplayCommand(const CampaignOptions& options, const CampaignFailure& failure);

// Several lines, the failure last.
std::string SummaryText(const CampaignOptions& options, const CampaignResult& result);
// The same as one JSON object in one line.
std::string SummaryJson(const CampaignOptions& options, const CampaignResult& result);

// What is wrong about the campaign as a whole, though no seed failed: needless signals without faults.
std::optional<std::string> WholeCampaignFailure(const CampaignOptions& options,
                                                const CampaignResult& result);

int ExitCode(const CampaignOptions& options, const CampaignResult& result);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_REPORT_H_
