// The guest memory of all scenarios that this process runs, one after the other: made once, because to make it costs
// more than a scenario.
//
//   absl::StatusOr<ReusedMemory*> memory = ScenarioMemory();
//   (*memory)->Renew();
//
// Thread safety: one thread. Lifetime: the process; a fork gets memory of its own.
#ifndef VMBUSKIT_TESTS_SCENARIO_SCENARIO_MEMORY_H_
#define VMBUSKIT_TESTS_SCENARIO_SCENARIO_MEMORY_H_

#include "absl/status/statusor.h"
#include "platform/sim/reused_memory.h"
#include "platform/sim/slot_page_allocator.h"

namespace vmbuskit {

// The first megabyte is not the allocator's, as in a real guest.
inline constexpr Pfn kScenarioFirstPage = 256;
inline constexpr uint64_t kScenarioPages = kScenarioFirstPage + SlotPageAllocator::kPages;

absl::StatusOr<ReusedMemory*> ScenarioMemory();

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_SCENARIO_MEMORY_H_
