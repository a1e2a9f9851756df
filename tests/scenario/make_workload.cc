// Which workloads there are.
#include "tests/scenario/workload.h"

namespace vmbuskit {

std::unique_ptr<Workload> MakeWorkload(std::string_view name, FaultSource& faults) {
  if (name == "foundation") return MakeFoundationWorkload(faults);
  if (name == "storage") return MakeStorageWorkload(faults);
  return nullptr;
}

}  // namespace vmbuskit
