#include "transports/embedded_host/cpuid.h"

#include "transports/protocol/hypervisor.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kBuildNumber = 20348;
constexpr uint32_t kVersionWord = 10u << 16;  // 10.0

CpuidResult Features(const CpuidConfig& config) {
  CpuidResult result;
  result.eax = kPrivilegeTimeRefCount | kPrivilegeSynic | kPrivilegeSyntheticTimers |
               kPrivilegeApic | kPrivilegeHypercall | kPrivilegeVpIndex | kPrivilegeReset |
               kPrivilegeReferenceTsc | kPrivilegeFrequency;
  result.ebx = kPrivilegeAccessPartitionId | kPrivilegePostMessages | kPrivilegeSignalEvents |
               kPrivilegeVpRegisters;
  if (config.extended_hypercalls) result.ebx |= kPrivilegeExtendedHypercalls;
  result.edx = kFeatureFrequency | kFeatureCrash | kFeatureSintPolling;
  if (config.direct_timers) result.edx |= kFeatureDirectTimers;
  return result;
}

}  // namespace

CpuidResult EmulateCpuid(const CpuidConfig& config, uint32_t leaf) {
  switch (leaf) {
    case kCpuidLeafProcessor:
      return {.ecx = kCpuidHypervisorPresent};
    case kCpuidLeafVendor:
      return {kCpuidMaxLeafMin, kCpuidVendorEbx, kCpuidVendorEcx, kCpuidVendorEdx};
    case kCpuidLeafInterface:
      return {.eax = kCpuidInterfaceHv1};
    case kCpuidLeafVersion:
      return {.eax = kBuildNumber, .ebx = kVersionWord};
    case kCpuidLeafFeatures:
      return Features(config);
    case kCpuidLeafHints:
      return {.eax = kHintRelaxedTiming | kHintAutoEoiDeprecated, .ebx = kCpuidSpinNeverNotify};
    case kCpuidLeafLimits:
      return {.eax = config.vp_count, .ebx = config.vp_count};
    default:
      return {};
  }
}

}  // namespace vmbuskit
