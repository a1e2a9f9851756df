// One planted bug: the campaign over a product that has it, until a seed fails.
//
//   relid_never_released relid_never_released [WORKLOAD [SEEDS]]
//
// Prints the bug, the seed and the invariant that did not hold. Fails when no seed of 10,000 does.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/status/statusor.h"
#include "tests/scenario/campaign.h"
#include "tests/scenario/scenario.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kSeedsMax = 10'000;

int FindBug(const std::string& bug, const std::string& workload, uint64_t seeds) {
  const CampaignOptions options = {
      .first = 0,
      .seeds = seeds,
      .jobs = 1,
      .workload = workload,
      .determinism_interval = 0,
      .watchdog = std::chrono::seconds(10),
  };
  const absl::StatusOr<CampaignResult> result =
      RunCampaign(options, RunScenario, [](const CampaignProgress&) {});
  if (!result.ok()) {
    std::cout << bug << ": " << std::string(result.status().message()) << "\n";
    return 1;
  }
  if (!result->failure) {
    std::cout << bug << ": NOT FOUND in " << result->totals.seeds << " seeds\n";
    return 1;
  }
  std::cout << bug << ": found by seed " << result->failure->seed << ": " << result->failure->what
            << "\n";
  return 0;
}

}  // namespace
}  // namespace vmbuskit

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const std::string workload = argc > 2 ? argv[2] : "foundation";
  const uint64_t seeds = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : vmbuskit::kSeedsMax;
  return vmbuskit::FindBug(argv[1], workload, seeds);
}
