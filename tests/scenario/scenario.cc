#include "tests/scenario/scenario.h"

#include "tests/scenario/director.h"
#include "tests/scenario/fault_plan.h"

namespace vmbuskit {

ScenarioResult RunScenario(const ScenarioOptions& options) {
  Random random(options.seed * 2 + 1);
  const FaultPlan plan = options.faults ? FaultPlan::Draw(random) : FaultPlan::DrawCalm(random);
  return Director(plan, options).Run();
}

}  // namespace vmbuskit
