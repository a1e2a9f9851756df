// The arguments of the campaign program, parsed and checked.
//
//   const CampaignCommandLine line = ParseCampaignCommandLine(argc, argv, /*cpus=*/2);
//   if (!line.run) { PrintText(line.output), PrintError(line.error); return line.exit_code; }
//
// Thread safety: none. Exceptions of the argument library end here.
#ifndef VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_COMMAND_LINE_H_
#define VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_COMMAND_LINE_H_

#include <cstdint>
#include <string>

#include "tests/scenario/campaign.h"

namespace vmbuskit {

struct CampaignCommandLine {
  bool run = false;  // false: print and exit
  CampaignOptions options;
  bool trace = false;
  bool json = false;
  int exit_code = 0;
  std::string output;  // for stdout
  std::string error;   // for stderr: one line
};

// `cpus`: how many jobs there are when nothing else is said.
CampaignCommandLine ParseCampaignCommandLine(int argc, const char* const* argv, uint32_t cpus);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_COMMAND_LINE_H_
