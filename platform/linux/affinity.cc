#include "platform/linux/affinity.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace vmbuskit {

std::vector<uint32_t> AllowedCpus() {
  std::vector<uint32_t> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (pthread_getaffinity_np(pthread_self(), sizeof set, &set) != 0) return cpus;
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

uint32_t OnlineCpuCount() {
  const long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count < 1 ? 1 : static_cast<uint32_t>(count);
}

absl::Status PinThread(pthread_t thread, uint32_t cpu) {
  int error = EINVAL;
  if (cpu < CPU_SETSIZE) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    error = pthread_setaffinity_np(thread, sizeof set, &set);
  }
  if (error == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(
      error, absl::StrCat("pinning to cpu ", cpu, " of ", OnlineCpuCount(), " online"));
}

absl::Status PinCurrentThread(uint32_t cpu) { return PinThread(pthread_self(), cpu); }

}  // namespace vmbuskit
