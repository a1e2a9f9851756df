// Every synthetic register of a partition by number, dispatched to its owner. What raises #GP on a real processor is
// InvalidArgument. Source: protocol 01 section 2.
//
//   absl::StatusOr<uint64_t> time = registers.Read(vp, kRegTimeRefCount);
//   HypercallStatus status = registers.SetByName(vp, kVpRegGuestOsId, {.low = os_id});   // HvSetVpRegisters
//
// Thread safety: as Partition's register access: for `vp` on its executor.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_REGISTER_FILE_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_REGISTER_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "transports/embedded_host/cpuid.h"
#include "transports/embedded_host/partition_gates.h"
#include "transports/embedded_host/partition_registers.h"
#include "transports/embedded_host/reference_clock.h"
#include "transports/embedded_host/virtual_processor.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

using VirtualProcessors = std::vector<std::unique_ptr<VirtualProcessor>>;

class RegisterFile {
 public:
  RegisterFile(PartitionRegisters& partition, VirtualProcessors& vps, PartitionGates& gates,
               const ReferenceClock& clock, const CpuidConfig& cpuid)
      : partition_(partition), vps_(vps), gates_(gates), clock_(clock), cpuid_(cpuid) {}

  absl::StatusOr<uint64_t> Read(uint32_t vp, uint32_t reg);
  absl::Status Write(uint32_t vp, uint32_t reg, uint64_t value);

  // The same registers by their arm64 names, as HvGetVpRegisters and HvSetVpRegisters use them: a fault is
  // kInvalidParameter, an unknown name kUnknownRegisterName.
  HypercallStatus GetByName(uint32_t vp, uint32_t name, VpRegisterValue& value);
  HypercallStatus SetByName(uint32_t vp, uint32_t name, const VpRegisterValue& value);

 private:
  void SendIpi(uint32_t source, uint64_t icr);

  PartitionRegisters& partition_;
  VirtualProcessors& vps_;
  PartitionGates& gates_;
  const ReferenceClock& clock_;
  const CpuidConfig cpuid_;
};

// The MSR that has the same meaning as VP register `name`; nullopt when there is none.
std::optional<uint32_t> MsrOfVpRegister(uint32_t name);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_REGISTER_FILE_H_
