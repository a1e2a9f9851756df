#include "transports/synic/hypervisor_guest.h"

#include "absl/strings/str_format.h"
#include "framework/base/status.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {
namespace {

absl::Status Missing(const char* what, uint32_t leaf, uint32_t value) {
  return absl::UnavailableError(
      absl::StrFormat("no Hyper-V here: %s (CPUID leaf 0x%x is 0x%x)", what, leaf, value));
}

}  // namespace

absl::StatusOr<HypervisorInfo> DetectHypervisor(Partition& partition) {
  const CpuidResult processor = partition.Cpuid(0, kCpuidLeafProcessor);
  if ((processor.ecx & kCpuidHypervisorPresent) == 0) {
    return Missing("no hypervisor bit", kCpuidLeafProcessor, processor.ecx);
  }
  const CpuidResult vendor = partition.Cpuid(0, kCpuidLeafVendor);
  if (vendor.ebx != kCpuidVendorEbx || vendor.ecx != kCpuidVendorEcx ||
      vendor.edx != kCpuidVendorEdx) {
    return Missing("another vendor", kCpuidLeafVendor, vendor.ebx);
  }
  if (vendor.eax < kCpuidMaxLeafMin || vendor.eax > kCpuidMaxLeafMax) {
    return Missing("highest leaf", kCpuidLeafVendor, vendor.eax);
  }
  // The vendor text alone proves nothing: others show it with few features. EBX bits 4 and 5 are no
  // proof either way, hosts serve messages and events without them.
  const CpuidResult features = partition.Cpuid(0, kCpuidLeafFeatures);
  for (uint32_t privilege : {kPrivilegeSynic, kPrivilegeHypercall, kPrivilegeVpIndex}) {
    if ((features.eax & privilege) == 0) {
      return Missing("SynIC, hypercalls or VP index", kCpuidLeafFeatures, features.eax);
    }
  }
  const CpuidResult hints = partition.Cpuid(0, kCpuidLeafHints);
  return HypervisorInfo{
      .direct_timers = (features.edx & kFeatureDirectTimers) != 0,
      .timers = (features.eax & kPrivilegeSyntheticTimers) != 0,
      .auto_eoi_allowed = (hints.eax & kHintAutoEoiDeprecated) == 0,
  };
}

absl::Status HypercallPage::Enable(PageAllocator& pages, uint64_t guest_os_id) {
  absl::StatusOr<PageRun> page = pages.Allocate(1);
  if (!page.ok()) return page.status();
  VMBUSKIT_RETURN_IF_ERROR(partition_.WriteRegister(0, kRegGuestOsId, guest_os_id));
  page_ = *std::move(page);
  absl::Status written = partition_.WriteRegister(0, kRegHypercall, PageRegister(page_.gpa()));
  absl::StatusOr<uint64_t> enabled = partition_.ReadRegister(0, kRegHypercall);
  if (written.ok() && enabled.ok() && (*enabled & kPageRegisterEnable) != 0) {
    return absl::OkStatus();
  }
  Disable();
  return absl::UnavailableError("the hypercall page cannot be enabled");
}

void HypercallPage::Disable() {
  if (!page_) return;
  const bool cleared = partition_.WriteRegister(0, kRegGuestOsId, 0).ok() &&
                       partition_.WriteRegister(0, kRegHypercall, 0).ok();
  // A page that the hypervisor still lies over must never be RAM for somebody else.
  if (cleared) {
    page_.Reset();
  } else {
    page_.Leak();
  }
}

}  // namespace vmbuskit
