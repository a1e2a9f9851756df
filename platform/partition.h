// What a guest sees of a hypervisor, and nothing that a real one lacks: CPUID leaves, synthetic
// registers, hypercalls, guest memory, interrupts and the time-stamp counter. Source: protocol 01.
//
//   partition.WriteRegister(vp, kRegSimp, page | 1);
//   uint64_t result = partition.Hypercall(vp, kCallSignalEventFast, connection_id, 0);
//
// Implementations: transports/embedded_host (in this process) and transports/remote (in another
// one).
//
// Thread safety: register access and hypercalls for virtual processor `vp` are made from the
// executor that stands for it. Interrupt handlers are Events, raised from any thread.
#ifndef VMBUSKIT_PLATFORM_PARTITION_H_
#define VMBUSKIT_PLATFORM_PARTITION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/executor.h"
#include "platform/memory.h"

namespace vmbuskit {

struct CpuidResult {
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
};

class Partition {
 public:
  virtual ~Partition() = default;

  virtual uint32_t vp_count() const = 0;
  virtual GuestMemory& memory() = 0;

  virtual CpuidResult Cpuid(uint32_t vp, uint32_t leaf) = 0;

  // Synthetic registers by their x86 MSR number (protocol 01 section 2). An access that raises #GP
  // on a real processor is InvalidArgument, naming register and value.
  virtual absl::StatusOr<uint64_t> ReadRegister(uint32_t vp, uint32_t reg) = 0;
  virtual absl::Status WriteRegister(uint32_t vp, uint32_t reg, uint64_t value) = 0;

  // Control word, then input and output: guest physical addresses, or for a fast call the two
  // argument words (protocol 01 section 3). Returns the result word. With the hypercall page
  // disabled the call raises #UD on a real processor; here every call then returns
  // kHypercallUndefined.
  virtual uint64_t Hypercall(uint32_t vp, uint64_t control, uint64_t input, uint64_t output) = 0;
  static constexpr uint64_t kHypercallUndefined = ~uint64_t{0};

  // The guest's interrupt descriptor table: `vector` on `vp` signals `handler`; null takes it out
  // again. A vector without a handler is dropped as spurious.
  virtual void ConnectInterrupt(uint32_t vp, uint8_t vector, Event* handler) = 0;

  // RDTSC with the ordering that protocol 01 section 5 asks for.
  virtual uint64_t ReadTsc(uint32_t vp) = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_PARTITION_H_
