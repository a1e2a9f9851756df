// Everything about an embedded partition that can be chosen, in one value. Where the sources of protocol 01
// disagree about the host, each reading is a choice here, the default being OpenVMM's.
//
//   PartitionOptions options;
//   options.overlay = OverlayReading::kHideRam;
//
// Thread safety: a plain value.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_OPTIONS_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_OPTIONS_H_

#include <chrono>
#include <cstdint>

#include "platform/time.h"

namespace vmbuskit {

// What an overlay page does to the guest RAM beneath it (protocol 01 section 2.2, "On disable").
enum class OverlayReading {
  // OpenVMM: enabling copies the contents over RAM, which is lost; disabling leaves them there.
  kCopyOver,
  // Kernel documentation: the RAM's old contents come back on disable.
  kHideRam,
};

// What writing 0 to GUEST_OS_ID does (section 2.1).
enum class GuestOsIdReading {
  kDropsHypercallPage,  // TLFS lore: hypercalls end, HYPERCALL cannot be enabled
  kRecordsOnly,         // OpenVMM
};

// A queued message whose SINT is masked (section 4.1, bit 16).
enum class MaskedMessages {
  kKeep,  // delivered after unmasking
  kDrop,  // OpenVMM
};

// An event flag while the SynIC is disabled or the SINT masked (section 4.4).
enum class MaskedEvents {
  kLose,   // OpenVMM
  kLatch,  // a kinder host
};

// When a periodic timer is due again (section 6).
enum class PeriodicReading {
  kFromDelivery,  // OpenVMM
  kFromDue,       // KVM: keeps the phase
};

// Signals that told the host nothing get a guest suspended on the real host (section 7.4).
struct ThrottleOptions {
  uint32_t needless_signals_max = 0;  // per window; 0: only counted, never throttled
  Duration window = std::chrono::seconds(1);
  Duration suspension = std::chrono::seconds(2);
};

struct PartitionOptions {
  uint64_t partition_id = 1;
  uint64_t tsc_hz = 2'500'000'000;  // above 10 MHz
  bool invariant_tsc = true;        // false: the TSC page keeps sequence 0
  bool direct_timers = true;
  bool extended_hypercalls = true;

  uint32_t synic_queue_messages_max = 8192;  // waiting for a slot, per VP and SINT
  uint32_t inbox_messages_max = 128;         // posted by the guest, not yet handled; a power of two

  OverlayReading overlay = OverlayReading::kCopyOver;
  GuestOsIdReading guest_os_id = GuestOsIdReading::kDropsHypercallPage;
  MaskedMessages masked_messages = MaskedMessages::kKeep;
  MaskedEvents masked_events = MaskedEvents::kLose;
  PeriodicReading periodic = PeriodicReading::kFromDelivery;
  // How often the monitor pages are looked at while the guest sets bits, and when it sets none.
  Duration monitor_period = std::chrono::microseconds(100);
  Duration monitor_idle_period = std::chrono::milliseconds(1);
  ThrottleOptions throttle = {};
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_OPTIONS_H_
