// The registers that tests and fuzzers try: each kind that the hypervisor has, the ends of the ranges, and numbers that
// it does not know. New ones go to the end, because committed inputs count from the beginning.
//
//   partition.WriteRegister(vp, kSampleRegisters[index % std::size(kSampleRegisters)], value);
//
// Thread safety: constants. Source: protocol 01 sections 2 and 3.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SAMPLE_REGISTERS_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SAMPLE_REGISTERS_H_

#include <cstdint>

#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

// By MSR number.
inline constexpr uint32_t kSampleRegisters[] = {kRegGuestOsId,
                                                kRegHypercall,
                                                kRegVpIndex,
                                                kRegReset,
                                                kRegTimeRefCount,
                                                kRegReferenceTsc,
                                                kRegTscFrequency,
                                                kRegApicFrequency,
                                                kRegEoi,
                                                kRegIcr,
                                                kRegTpr,
                                                kRegVpAssistPage,
                                                kRegScontrol,
                                                kRegSversion,
                                                kRegSiefp,
                                                kRegSimp,
                                                kRegEom,
                                                kRegSint0,
                                                kRegSint0 + 2,
                                                kRegSint0 + 15,
                                                kRegStimer0Config,
                                                kRegStimer0Count,
                                                kRegStimer0Config + 6,
                                                kRegStimer0Count + 6,
                                                kRegCrashP0,
                                                kRegCrashP0 + 4,
                                                kRegCrashCtl,
                                                kRegGuestIdle,
                                                0xFFFFFFFF,
                                                kRegVpRuntime,
                                                kRegSint0 + 16,
                                                0x12345678,
                                                0};

// By name, as GetVpRegisters and SetVpRegisters take them.
inline constexpr uint32_t kSampleVpRegisters[] = {kVpRegVersion,
                                                  kVpRegFeatures,
                                                  kVpRegEnlightenments,
                                                  kVpRegLimits,
                                                  kVpRegIsolation,
                                                  kVpRegCrashP0,
                                                  kVpRegCrashCtl,
                                                  kVpRegVpRuntime,
                                                  kVpRegGuestOsId,
                                                  kVpRegVpIndex,
                                                  kVpRegTimeRefCount,
                                                  kVpRegVpAssistPage,
                                                  kVpRegReferenceTsc,
                                                  kVpRegSint0,
                                                  kVpRegSint0 + 15,
                                                  kVpRegScontrol,
                                                  kVpRegSversion,
                                                  kVpRegSiefp,
                                                  kVpRegSimp,
                                                  kVpRegEom,
                                                  kVpRegStimer0Config,
                                                  kVpRegStimer0Count + 6,
                                                  kVpRegSint0 + 2,
                                                  kVpRegStimer0Count,
                                                  0x777};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SAMPLE_REGISTERS_H_
