// The four synthetic timers of a virtual processor: one-shot and periodic, as a direct interrupt or as a message.
// Source: protocol 01 section 6.
//
//   timers.Write(kRegStimer0Config, kStimerAutoEnable | StimerDirectVector(0xED));
//   timers.Write(kRegStimer0Count, clock.Now(executor) + 10'000);                  // in one millisecond
//
// A timer runs as a Timer of the processor's executor. A message goes to the slot from the host executor, the only
// one that writes slots; a timer has at most one message under way and waits for the slot as long as it takes.
// The lazy bit is kept and grants a delay that is never taken.
//
// Thread safety: Read and Write on the processor's executor; DeliverMessages and Reset on the host executor.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SYNTHETIC_TIMERS_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SYNTHETIC_TIMERS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>

#include "framework/observe/inspect.h"
#include "platform/executor.h"
#include "transports/embedded_host/partition_options.h"
#include "transports/embedded_host/reference_clock.h"
#include "transports/embedded_host/synic.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

class SyntheticTimers {
 public:
  SyntheticTimers(Executor& executor, const ReferenceClock& clock, Synic& synic, Event& host_work,
                  const PartitionOptions& options);

  static bool Owns(uint32_t reg) {
    return reg >= kRegStimer0Config && reg < kRegStimer0Config + 2 * kSyntheticTimerCount;
  }
  uint64_t Read(uint32_t reg);
  void Write(uint32_t reg, uint64_t value);

  // Expired message-mode timers whose slot may be free now.
  void DeliverMessages(const Executor& host_executor);
  void Reset();
  // Saves, or takes over what was saved; with StateWriter or StateReader, while the processor does not run. The alarms
  // are armed anew at its next turn.
  template <typename Archive>
  void Exchange(Archive& archive);
  void Inspect(InspectNode& node);

 private:
  struct SyntheticTimer {
    SyntheticTimer(SyntheticTimers& owner, Executor& executor)
        : owner(owner), alarm(executor, Callback::To<&SyntheticTimer::OnAlarm>(this)) {}
    void OnAlarm() { owner.OnAlarm(*this); }

    SyntheticTimers& owner;
    Timer alarm;
    uint64_t config = 0;
    uint64_t count = 0;
    uint64_t due = 0;  // reference time
    bool running = false;
    bool message_waiting = false;
    uint64_t message_expiration = 0;
    uint64_t expirations = 0;
  };

  void Start(SyntheticTimer& timer);
  void ArmAlarm(SyntheticTimer& timer, uint64_t now);
  void OnAlarm(SyntheticTimer& timer);
  void Rearm();

  Executor& executor_;
  const ReferenceClock& clock_;
  Synic& synic_;
  Event& host_work_;
  const PartitionOptions& options_;
  std::mutex mutex_;  // the processor against delivery and Reset
  std::array<SyntheticTimer, kSyntheticTimerCount> timers_;
  Event rearm_;  // after a restore
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SYNTHETIC_TIMERS_H_
