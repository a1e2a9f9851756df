#include "tools/vmbus/memory_plan.h"

#include <algorithm>

namespace vmbuskit {
namespace {

constexpr uint64_t kLeastDefault = uint64_t{1} << 30;
constexpr uint64_t kChunkBytes = 64 * 1024;  // buffers are made of them

}  // namespace

MemoryPlan PlanMemory(const Machine& machine) {
  constexpr uint64_t kQueue = MemoryPlan::kQueueBytes;
  constexpr uint64_t kMost = MemoryPlan::kLargestBuffers + kQueue;
  constexpr uint64_t kLeast = MemoryPlan::kLeastBuffers + kQueue;
  MemoryPlan plan;
  plan.memory_bytes = machine.memory_bytes;
  if (plan.memory_bytes == 0) {
    plan.memory_bytes = std::max(kLeastDefault, 2 * machine.nbd.connections_max * kMost);
  }
  const uint64_t shared_out =
      std::max(plan.memory_bytes / 2, MemoryPlan::kConnectionsLeast * kLeast);
  plan.connections_max = static_cast<uint32_t>(
      std::clamp<uint64_t>(machine.nbd.connections_max, 1, shared_out / kLeast));
  const uint64_t part = std::min(shared_out / plan.connections_max, kMost);
  plan.buffer_bytes_max = (part - kQueue) / kChunkBytes * kChunkBytes;
  return plan;
}

}  // namespace vmbuskit
