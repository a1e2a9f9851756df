// Which CPUs there are, and threads bound to one of them.
//
//   if (absl::Status status = PinCurrentThread(1); !status.ok()) LOG(status);   // "pinning to cpu 1 of 2: ..."
//
// Thread safety: any thread. Errors: the status of the errno, naming the CPU and how many there are.
#ifndef VMBUSKIT_PLATFORM_LINUX_AFFINITY_H_
#define VMBUSKIT_PLATFORM_LINUX_AFFINITY_H_

#include <pthread.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace vmbuskit {

// CPUs that the calling thread may run on, ascending: what taskset, a cgroup or a pin left of the machine.
std::vector<uint32_t> AllowedCpus();

// CPUs that are online, whoever may use them.
uint32_t OnlineCpuCount();

absl::Status PinThread(pthread_t thread, uint32_t cpu);
absl::Status PinCurrentThread(uint32_t cpu);

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_AFFINITY_H_
