// What may go wrong in one seed: every fault by name, with its probability and its bounds.
//
//   FaultPlan plan = FaultPlan::Draw(random);      // each family on or off, then how often
//   if (plan.interrupt_lost.Happens(random)) RepairAfter(DrawUpTo(random, plan.interrupt_repair_max));
//
// Thread safety: a plain value.
#ifndef VMBUSKIT_TESTS_SCENARIO_FAULT_PLAN_H_
#define VMBUSKIT_TESTS_SCENARIO_FAULT_PLAN_H_

#include <cstdint>
#include <string>

#include "platform/random.h"
#include "platform/time.h"

namespace vmbuskit {

struct Chance {
  uint32_t per_1024 = 0;

  bool Happens(Random& random) const { return per_1024 != 0 && random.Below(1024) < per_1024; }
};

// Uniform in (0, most].
inline Duration DrawUpTo(Random& random, Duration most) {
  return Duration(1 + random.Below(static_cast<uint64_t>(most.count())));
}

struct FaultPlan {
  // ---- The machine: not faults, but different in every seed.
  uint32_t vp_count = 2;
  uint32_t host_version_max = 0;  // newest that the host grants; 0: all
  bool monitor_pages = true;
  uint64_t offer_shuffle_seed = 0;
  uint32_t ring_pages_min = 1;  // data pages of each ring
  uint32_t ring_pages_max = 8;

  // ---- Interrupts to the guest, signals to the host: each raising draws one of them.
  Chance interrupt_late;
  Chance interrupt_duplicated;
  Chance interrupt_lost;       // and repaired: raised again after up to interrupt_repair_max
  Chance interrupt_early;      // with nothing to tell, while the guest is calling the hypervisor
  Chance interrupt_wrong_cpu;  // to another one first, late to the right one
  Chance signal_late;
  Chance signal_duplicated;
  Chance signal_lost;            // and repaired
  Chance signal_served_at_once;  // the host acts on it while the guest's call still runs
  Duration interrupt_late_max = std::chrono::milliseconds(2);
  Duration interrupt_repair_max = std::chrono::milliseconds(200);

  // ---- Control messages.
  Chance message_late;       // and with it, everything later about the same channel
  Chance message_reordered;  // passes the others that wait, except those about its own channel
  Chance message_dropped;    // never sent
  uint32_t messages_dropped_max = 0;
  Duration message_late_max = std::chrono::milliseconds(50);
  bool rescinded_unanswered = false;  // after a RESCIND, no answer about that channel
  Chance post_refused;  // the hypervisor has no buffer for the guest's message just now

  // ---- Back ends.
  Chance backend_error;
  Chance backend_stall;
  Chance backend_silent;  // never answers a request
  Duration backend_stall_max = std::chrono::milliseconds(500);

  // ---- What happens to devices, guest and host: how many of each are drawn per round.
  uint32_t disturbances = 0;  // of the kinds below, by weight
  uint32_t rescind_weight = 0;
  uint32_t rescind_in_the_act_weight = 0;  // while it is moved, opened, shared with
  uint32_t reoffer_weight = 0;
  uint32_t restart_weight = 0;
  uint32_t retarget_weight = 0;
  uint32_t reconnect_weight = 0;
  uint32_t crash_weight = 0;    // of the guest, which starts again
  uint32_t restore_weight = 0;  // the host is saved and restored
  uint32_t hostile_ring_weight = 0;
  uint32_t hostile_message_weight = 0;
  uint32_t hold_weight = 0;      // somebody takes a CPU, of the guest or the host's, for a moment
  uint32_t workload_weight = 0;  // what the workload itself has to offer

  // A fault-free machine of random shape.
  static FaultPlan DrawCalm(Random& random);
  static FaultPlan Draw(Random& random);

  // True when the host may keep an answer to itself: then waits end by their deadlines.
  bool host_may_be_silent() const { return messages_dropped_max != 0; }
  // It answers everything, and truly: no wait for it ends by a deadline.
  bool host_is_honest() const { return !host_may_be_silent() && hostile_message_weight == 0; }
  std::string ToString() const;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_FAULT_PLAN_H_
