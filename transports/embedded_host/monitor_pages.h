// The monitor pages of a connection, polled: every pending bit that the guest set signals its target.
// Source: protocol 02 section 9.2.
//
//   monitors.Connect(monitor_id, &signal);
//   VMBUSKIT_RETURN_IF_ERROR(monitors.Map(p2c_gpa, c2p_gpa));   // polls from now on
//
// Polled every Periods::busy while bits are found, every Periods::idle (not below it) after
// kBusyScansMax scans that found none: a wake-up costs more than a scan.
//
// What the guest wrote into enable bits, latencies and parameters is not looked at: the host keeps its own map from
// monitor id to target, like OpenVMM.
// Thread safety: the host executor.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MONITOR_PAGES_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MONITOR_PAGES_H_

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "framework/observe/inspect.h"
#include "platform/executor.h"
#include "platform/memory.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

class MonitorPages {
 public:
  static constexpr uint32_t kBusyScansMax = 32;

  struct Periods {
    Duration busy;
    Duration idle;
  };

  MonitorPages(GuestMemory& memory, Executor& host_executor, Periods periods)
      : memory_(memory),
        busy_(host_executor, Callback::To<&MonitorPages::Poll>(this), periods.busy),
        idle_(host_executor, Callback::To<&MonitorPages::Poll>(this),
              std::max(periods.busy, periods.idle)) {}

  // Host to guest and guest to host, page-aligned. Replaces the pages mapped before. InvalidArgument or
  // OutOfRange, and nothing changed, when the guest gave pages that cannot be used.
  absl::Status Map(Gpa parent_to_child, Gpa child_to_parent);
  void Unmap();
  bool mapped() const { return child_to_parent_ != nullptr; }
  // Guest pages that the host may touch now: none or both.
  uint32_t pages() const { return mapped() ? 2 : 0; }

  // `target` null takes the connection out. `monitor_id` < 128. Without any target nothing is polled, so that a
  // host without monitored channels sleeps.
  void Connect(uint8_t monitor_id, Event* target);

  // Saves, or takes over what was saved, without the targets, which are connected anew; with StateWriter or
  // StateReader.
  template <typename Archive>
  void Exchange(Archive& archive);

  // One scan; the poller's work.
  void Poll();

  void Inspect(InspectNode& node) const;
  uint64_t scans() const { return scans_; }
  uint64_t signals() const { return signals_; }
  uint64_t unconnected() const { return unconnected_; }

 private:
  void StartOrStopPolling();
  // True when a bit was set.
  bool Scan();

  GuestMemory& memory_;
  Poller busy_;  // at most one of the two runs
  Poller idle_;
  uint32_t empty_scans_ = 0;  // in a row
  Gpa parent_to_child_gpa_ = 0;
  Gpa child_to_parent_gpa_ = 0;
  MonitorPage* child_to_parent_ = nullptr;
  std::array<Event*, kMonitorCount> targets_{};
  uint32_t connected_ = 0;  // of these, not null
  uint64_t scans_ = 0;
  uint64_t signals_ = 0;
  uint64_t unconnected_ = 0;  // bits without a target
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MONITOR_PAGES_H_
