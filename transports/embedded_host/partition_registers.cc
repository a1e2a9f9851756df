#include "transports/embedded_host/partition_registers.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "transports/embedded_host/general_protection.h"

namespace vmbuskit {
namespace {

// VMCALL; RET, then INT3. Guests here enter through Partition::Hypercall, but may look at the page.
constexpr uint8_t kHypercallCode[] = {0x0F, 0x01, 0xC1, 0xC3};
constexpr std::byte kHypercallFill{0xCC};

}  // namespace

PartitionRegisters::PartitionRegisters(GuestMemory& memory, ReferenceClock& clock,
                                       const PartitionOptions& options)
    : options_(options),
      clock_(clock),
      hypercall_(memory, options.overlay, nullptr),
      tsc_(memory, options.overlay, nullptr) {}

bool PartitionRegisters::Owns(uint32_t reg) {
  return reg == kRegGuestOsId || reg == kRegHypercall || reg == kRegReset ||
         reg == kRegReferenceTsc || (reg >= kRegCrashP0 && reg <= kRegCrashCtl);
}

absl::StatusOr<uint64_t> PartitionRegisters::Read(uint32_t reg) {
  std::lock_guard lock(mutex_);
  switch (reg) {
    case kRegGuestOsId:
      return guest_os_id_;
    case kRegHypercall:
      return hypercall_word_;
    case kRegReferenceTsc:
      return tsc_word_;
    case kRegReset:
      return 0;
    case kRegCrashCtl:
      return kCrashNotify | kCrashMessage;  // what the host supports, never what was written
    default:
      return crash_parameters_[reg - kRegCrashP0];
  }
}

absl::Status PartitionRegisters::Write(uint32_t reg, uint64_t value) {
  std::lock_guard lock(mutex_);
  switch (reg) {
    case kRegGuestOsId:
      return WriteGuestOsId(value);
    case kRegHypercall:
      return WriteHypercall(value);
    case kRegReferenceTsc:
      return WriteReferenceTsc(value);
    case kRegReset:
      if ((value & kResetPartition) != 0 && notifications_.reset != nullptr) {
        notifications_.reset->Signal();
      }
      return absl::OkStatus();
    case kRegCrashCtl:
      if ((value & kCrashNotify) != 0) {
        crash_report_ = CrashReport{crash_parameters_, value};
        if (notifications_.crash != nullptr) notifications_.crash->Signal();
      }
      return absl::OkStatus();
    default:
      crash_parameters_[reg - kRegCrashP0] = value;
      return absl::OkStatus();
  }
}

absl::Status PartitionRegisters::WriteGuestOsId(uint64_t value) {
  guest_os_id_ = value;
  if (value == 0 && options_.guest_os_id == GuestOsIdReading::kDropsHypercallPage) {
    DropHypercallPage();
  }
  return absl::OkStatus();
}

void PartitionRegisters::DropHypercallPage() {
  hypercalls_enabled_.store(false, std::memory_order_release);
  hypercall_.Disable();
  hypercall_word_ &= ~kPageRegisterEnable;
}

absl::Status PartitionRegisters::WriteHypercall(uint64_t value) {
  if ((hypercall_word_ & kHypercallRegisterLocked) != 0) {
    return GeneralProtection(kRegHypercall, value, "locked");
  }
  if ((value & kPageRegisterReserved & ~kHypercallRegisterLocked) != 0) {
    return GeneralProtection(kRegHypercall, value, "reserved bits are set");
  }
  const bool drops = options_.guest_os_id == GuestOsIdReading::kDropsHypercallPage;
  if (guest_os_id_ == 0 && drops) value &= ~kPageRegisterEnable;
  if ((value & kPageRegisterEnable) == 0) {
    DropHypercallPage();
  } else {
    // The host owns the page: its code is there at every enabling.
    std::ranges::fill(hypercall_.contents(), kHypercallFill);
    std::ranges::copy(std::as_bytes(std::span(kHypercallCode)), hypercall_.contents().begin());
    if (!hypercall_.Enable(value & kPageRegisterPageMask).ok()) {
      return GeneralProtection(kRegHypercall, value, "no such guest page");
    }
    hypercalls_enabled_.store(true, std::memory_order_release);
  }
  hypercall_word_ = value;
  return absl::OkStatus();
}

absl::Status PartitionRegisters::WriteReferenceTsc(uint64_t value) {
  if ((value & kPageRegisterReserved) != 0) {
    return GeneralProtection(kRegReferenceTsc, value, "reserved bits are set");
  }
  if ((value & kPageRegisterEnable) == 0) {
    clock_.Withdraw();
    tsc_.Disable();
  } else {
    if (!tsc_.Enable(value & kPageRegisterPageMask).ok()) {
      return GeneralProtection(kRegReferenceTsc, value, "no such guest page");
    }
    clock_.Publish(tsc_.live());
  }
  tsc_word_ = value;
  return absl::OkStatus();
}

void PartitionRegisters::Migrate(std::unique_ptr<TscSource> source, const Executor& current) {
  std::lock_guard lock(mutex_);
  clock_.Migrate(std::move(source), current);
}

std::optional<CrashReport> PartitionRegisters::crash_report() {
  std::lock_guard lock(mutex_);
  return crash_report_;
}

void PartitionRegisters::Reset() {
  std::lock_guard lock(mutex_);
  clock_.Withdraw();
  tsc_.Reset();
  tsc_word_ = 0;
  hypercalls_enabled_.store(false, std::memory_order_release);
  hypercall_.Reset();
  hypercall_word_ = 0;
  guest_os_id_ = 0;
  crash_parameters_.fill(0);
}

void PartitionRegisters::Inspect(InspectNode& node) {
  std::lock_guard lock(mutex_);
  node.Set("guest_os_id", guest_os_id_);
  node.Set("hypercall", hypercall_word_);
  node.Set("reference_tsc", tsc_word_);
  node.Set("crashed", crash_report_.has_value());
}

}  // namespace vmbuskit
