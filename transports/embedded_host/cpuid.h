// The CPUID leaves that the embedded partition shows: the host minimum for a VMBus guest, and what the options
// add. Source: protocol 01 section 1.1.
//
//   CpuidResult features = EmulateCpuid({.vp_count = 2}, kCpuidLeafFeatures);
//
// Thread safety: pure functions.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_CPUID_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_CPUID_H_

#include <cstdint>

#include "platform/partition.h"

namespace vmbuskit {

struct CpuidConfig {
  uint32_t vp_count = 1;
  bool direct_timers = true;
  bool extended_hypercalls = true;
};

// All zero for a leaf that is not served.
CpuidResult EmulateCpuid(const CpuidConfig& config, uint32_t leaf);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_CPUID_H_
