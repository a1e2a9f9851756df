// A synthetic timer of one virtual processor: calls back on that processor's executor at a
// reference time, by an interrupt of its own (direct mode) or through the message slot. Source:
// protocol 01 sections 5 and 6.
//
//   SyntheticTimer timer(partition, synic, {.mode = SyntheticTimer::Mode::kDirect},
//                        Callback::To<&Beat::OnTick>(this));
//   VMBUSKIT_RETURN_IF_ERROR(timer.Start());
//   timer.Arm(*timer.ReferenceNow() + 10'000);      // in a millisecond
//
// Thread safety: the executor of the SynicVp. Lifetime: shorter than the SynicVp's; stops at
// destruction.
// Units: reference time, 100 ns ticks since the partition was made.
// Errors: a call without need (a late interrupt of a timer that was disarmed) is swallowed.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_SYNTHETIC_TIMER_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_SYNTHETIC_TIMER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/callback.h"
#include "platform/executor.h"
#include "platform/partition.h"
#include "transports/synic/synic_vp.h"

namespace vmbuskit {

class SyntheticTimer {
 public:
  enum class Mode { kDirect, kMessage };

  struct Options {
    Mode mode = Mode::kDirect;  // kMessage where the hypervisor has no direct timers
    uint32_t vp = 0;
    uint32_t index = 0;          // 0 .. 3
    uint8_t vector = 0xED;       // direct mode; Linux's choice
    uint32_t sint = kVmbusSint;  // message mode: the SynicVp's
  };

  SyntheticTimer(Partition& partition, SynicVp& synic, Options options, Callback handler);
  ~SyntheticTimer() { Stop(); }
  SyntheticTimer(const SyntheticTimer&) = delete;
  SyntheticTimer& operator=(const SyntheticTimer&) = delete;

  absl::Status Start();
  // Configuration and count 0, before the SynIC goes (section 7.1).
  void Stop();

  // Calls the handler once, at or after `deadline`; one in the past at once. Replaces an earlier
  // one.
  absl::Status Arm(uint64_t deadline);
  void Disarm();
  bool armed() const { return armed_; }

  absl::StatusOr<uint64_t> ReferenceNow() { return partition_.ReadRegister(vp_, kRegTimeRefCount); }

 private:
  void OnExpired();
  uint32_t config_register() const { return kRegStimer0Config + 2 * options_.index; }
  uint32_t count_register() const { return kRegStimer0Count + 2 * options_.index; }

  Partition& partition_;
  SynicVp& synic_;
  const Options options_;
  const uint32_t vp_;
  const Callback handler_;
  bool started_ = false;
  bool armed_ = false;
  uint64_t deadline_ = 0;
  Event interrupt_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_SYNTHETIC_TIMER_H_
