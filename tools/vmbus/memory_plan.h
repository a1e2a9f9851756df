// How a machine's guest memory is shared out, so that no client of the NBD server can take what others need: each
// connection has a part of its own, all of them together at most half, and the rest is for controllers, which have to
// find room for their rings whenever they are offered anew.
//
//   const MemoryPlan plan = PlanMemory(machine);
//   NbdServer server(streams, {.connections_max = plan.connections_max,
//                              .limits = {.buffer_bytes_max = plan.buffer_bytes_max}});
//
// Without a size of the machine's own there is as much as that takes; what is not used takes no memory of the host.
// Too little first makes the parts smaller, down to what every server should take, then their number, down to what
// programs with several connections need: of 16M that is more than half. Thread safety: a pure function. Units: bytes.
#ifndef VMBUSKIT_TOOLS_VMBUS_MEMORY_PLAN_H_
#define VMBUSKIT_TOOLS_VMBUS_MEMORY_PLAN_H_

#include <cstddef>
#include <cstdint>

#include "tools/vmbus/machine.h"

namespace vmbuskit {

struct MemoryPlan {
  // What a connection has beside its buffers: the bounce buffer of its queue (ScsiDisk::Options).
  static constexpr uint64_t kQueueBytes = (512 + 4) * 1024;
  // What clients may ask for who were told of no limit.
  static constexpr uint64_t kLargestBuffers = 32 << 20;
  // What the protocol wants every server to take.
  static constexpr uint64_t kLeastBuffers = 1 << 20;
  // A copy from disk to disk has four at each.
  static constexpr uint64_t kConnectionsLeast = 8;

  uint64_t memory_bytes = 0;
  uint32_t connections_max = 0;
  size_t buffer_bytes_max = 0;  // of each connection
};

MemoryPlan PlanMemory(const Machine& machine);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_MEMORY_PLAN_H_
