// The registers that a partition has once: GUEST_OS_ID, HYPERCALL, REFERENCE_TSC, the crash registers and RESET.
// Source: protocol 01 sections 2, 2.1, 2.2, 5 and 7.2.
//
//   registers.Write(kRegGuestOsId, OpenSourceGuestOsId(1, 0, 0x060100, 0));
//   registers.Write(kRegHypercall, PageRegister(gpa));
//   if (!registers.hypercalls_enabled()) ...   // #UD
//
// Thread safety: any processor's executor, and the host executor; a lock orders them (no data path comes here but
// hypercalls_enabled, which is one atomic load).
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_REGISTERS_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_REGISTERS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/observe/inspect.h"
#include "platform/executor.h"
#include "platform/memory.h"
#include "transports/embedded_host/overlay_page.h"
#include "transports/embedded_host/partition_options.h"
#include "transports/embedded_host/reference_clock.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

struct CrashReport {
  std::array<uint64_t, kCrashParameterCount> parameters{};
  uint64_t control = 0;

  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(parameters);
    archive(control);
  }
};

class PartitionRegisters {
 public:
  // What the guest asked of the host; may be null.
  struct Notifications {
    Event* crash = nullptr;
    Event* reset = nullptr;
  };

  PartitionRegisters(GuestMemory& memory, ReferenceClock& clock, const PartitionOptions& options);

  static bool Owns(uint32_t reg);
  absl::StatusOr<uint64_t> Read(uint32_t reg);
  absl::Status Write(uint32_t reg, uint64_t value);

  bool hypercalls_enabled() const { return hypercalls_enabled_.load(std::memory_order_acquire); }

  // Host executor, before the guest runs.
  void SetNotifications(Notifications notifications) { notifications_ = notifications; }
  void Migrate(std::unique_ptr<TscSource> source, const Executor& current);
  // The latest report of this guest, if it made one. Survives Reset.
  std::optional<CrashReport> crash_report();
  void Reset();
  // Saves, or takes over what was saved, the clock's time with it; with StateWriter or StateReader, while no processor
  // runs.
  template <typename Archive>
  void Exchange(Archive& archive, const Executor& current);

  // Guest pages laid over now: 0 to 2.
  uint32_t pages() const { return uint32_t{hypercall_.enabled()} + uint32_t{tsc_.enabled()}; }
  void Inspect(InspectNode& node);

 private:
  absl::Status WriteGuestOsId(uint64_t value);
  absl::Status WriteHypercall(uint64_t value);
  absl::Status WriteReferenceTsc(uint64_t value);
  void DropHypercallPage();

  const PartitionOptions& options_;
  ReferenceClock& clock_;
  Notifications notifications_;
  std::mutex mutex_;
  uint64_t guest_os_id_ = 0;
  uint64_t hypercall_word_ = 0;
  uint64_t tsc_word_ = 0;
  OverlayPage hypercall_;
  OverlayPage tsc_;
  std::atomic<bool> hypercalls_enabled_ = false;
  std::array<uint64_t, kCrashParameterCount> crash_parameters_{};
  std::optional<CrashReport> crash_report_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_REGISTERS_H_
