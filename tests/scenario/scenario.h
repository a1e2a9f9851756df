// One seed of the whole system: a guest, a host and a workload in virtual time under a fault plan, with every
// invariant checked at every quiescent point. The same options give the same run, byte for byte.
//
//   const ScenarioResult result = RunScenario({.seed = 42, .workload = "foundation"});
//   if (!result.status.ok()) Report(42, result.status);
//
// Thread safety: one thread; any number of runs after each other in one process.
#ifndef VMBUSKIT_TESTS_SCENARIO_SCENARIO_H_
#define VMBUSKIT_TESTS_SCENARIO_SCENARIO_H_

#include <cstdint>
#include <iosfwd>
#include <string>

#include "absl/status/status.h"
#include "platform/time.h"

namespace vmbuskit {

struct ScenarioOptions {
  uint64_t seed = 0;
  std::string workload = "foundation";
  bool faults = true;             // false: the seed orders turns only
  std::ostream* trace = nullptr;  // not null: what happens, line by line
};

struct ScenarioResult {
  absl::Status status;      // the first invariant that did not hold
  uint64_t trace_hash = 0;  // over every turn of every executor and every fault
  uint64_t turns = 0;
  Duration virtual_time{};
  uint64_t faults = 0;  // injected
  // Over all rings, both ways; of the storage workload: requests that ended.
  uint64_t packets = 0;
  uint64_t signals = 0;           // sent by either side; of the foundation workload
  uint64_t needless_signals = 0;  // found nothing to do
  uint64_t lun_resets = 0;        // that the guest asked for; of the storage workload
  uint64_t bus_resets = 0;
};

ScenarioResult RunScenario(const ScenarioOptions& options);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_SCENARIO_H_
