#include "transports/embedded_host/synthetic_timers.h"

#include <algorithm>
#include <limits>
#include <string>

namespace vmbuskit {
namespace {

// A due time further away is approached in steps, so that no conversion overflows.
constexpr uint64_t kAlarmTicksMax = 3600 * kReferenceTicksPerSecond;

uint64_t SaturatingAdd(uint64_t a, uint64_t b) {
  return a > std::numeric_limits<uint64_t>::max() - b ? std::numeric_limits<uint64_t>::max()
                                                      : a + b;
}

}  // namespace

SyntheticTimers::SyntheticTimers(Executor& executor, const ReferenceClock& clock, Synic& synic,
                                 Event& host_work, const PartitionOptions& options)
    : executor_(executor),
      clock_(clock),
      synic_(synic),
      host_work_(host_work),
      options_(options),
      timers_{SyntheticTimer(*this, executor), SyntheticTimer(*this, executor),
              SyntheticTimer(*this, executor), SyntheticTimer(*this, executor)},
      rearm_(executor, Callback::To<&SyntheticTimers::Rearm>(this)) {}

uint64_t SyntheticTimers::Read(uint32_t reg) {
  std::lock_guard lock(mutex_);
  const uint32_t index = reg - kRegStimer0Config;
  const SyntheticTimer& timer = timers_[index / 2];
  return index % 2 == 0 ? timer.config : timer.count;
}

void SyntheticTimers::Write(uint32_t reg, uint64_t value) {
  std::lock_guard lock(mutex_);
  const uint32_t index = reg - kRegStimer0Config;
  SyntheticTimer& timer = timers_[index / 2];
  if (index % 2 == 0) {
    timer.config = value;
  } else {
    timer.count = value;
    if (value != 0 && (timer.config & kStimerAutoEnable) != 0) timer.config |= kStimerEnable;
  }
  Start(timer);
}

void SyntheticTimers::Start(SyntheticTimer& timer) {
  timer.alarm.Disarm();
  timer.message_waiting = false;
  timer.running = (timer.config & kStimerEnable) != 0 && timer.count != 0;
  if (!timer.running) return;
  const uint64_t now = clock_.Now(executor_);
  const bool periodic = (timer.config & kStimerPeriodic) != 0;
  timer.due = periodic ? SaturatingAdd(now, timer.count) : timer.count;
  ArmAlarm(timer, now);
}

void SyntheticTimers::ArmAlarm(SyntheticTimer& timer, uint64_t now) {
  const uint64_t ticks = timer.due > now ? std::min(timer.due - now, kAlarmTicksMax) : 0;
  timer.alarm.Arm(executor_.Now() + std::chrono::nanoseconds(ticks * 100));
}

void SyntheticTimers::OnAlarm(SyntheticTimer& timer) {
  std::lock_guard lock(mutex_);
  if (!timer.running) return;  // Reset got in between
  const uint64_t now = clock_.Now(executor_);
  if (now < timer.due) {
    ArmAlarm(timer, now);
    return;
  }
  ++timer.expirations;
  const uint64_t expiration = timer.due;
  if ((timer.config & kStimerPeriodic) != 0) {
    const bool from_due = options_.periodic == PeriodicReading::kFromDue;
    timer.due = SaturatingAdd(from_due ? timer.due : now, timer.count);
    // Periods that went by unserved are skipped, or a stopped guest would find a storm.
    if (timer.due <= now) timer.due += (now - timer.due) / timer.count * timer.count + timer.count;
    ArmAlarm(timer, now);
  } else {
    timer.config &= ~kStimerEnable;
    timer.running = false;
  }
  if ((timer.config & kStimerDirect) != 0 && options_.direct_timers) {
    synic_.interrupts().Raise(StimerVectorOf(timer.config));
  } else if (!timer.message_waiting) {
    timer.message_waiting = true;
    timer.message_expiration = expiration;
    host_work_.Signal();
  }
}

void SyntheticTimers::Rearm() {
  std::lock_guard lock(mutex_);
  const uint64_t now = clock_.Now(executor_);
  for (SyntheticTimer& timer : timers_) {
    if (timer.running) ArmAlarm(timer, now);
  }
}

void SyntheticTimers::DeliverMessages(const Executor& host_executor) {
  std::lock_guard lock(mutex_);
  for (uint32_t i = 0; i < kSyntheticTimerCount; ++i) {
    SyntheticTimer& timer = timers_[i];
    if (!timer.message_waiting) continue;
    const TimerMessagePayload payload{.timer_index = i,
                                      .reserved = 0,
                                      .expiration_time = timer.message_expiration,
                                      .delivery_time = clock_.Now(host_executor)};
    const OutgoingMessage message(kMessageTypeTimer, std::as_bytes(std::span(&payload, 1)));
    if (synic_.TryPostNow(StimerSintOf(timer.config), message)) timer.message_waiting = false;
  }
}

void SyntheticTimers::Reset() {
  std::lock_guard lock(mutex_);
  for (SyntheticTimer& timer : timers_) {
    // The alarm belongs to the processor's executor: it finds nothing running.
    timer.running = false;
    timer.message_waiting = false;
    timer.config = 0;
    timer.count = 0;
  }
}

void SyntheticTimers::Inspect(InspectNode& node) {
  std::lock_guard lock(mutex_);
  for (uint32_t i = 0; i < kSyntheticTimerCount; ++i) {
    const SyntheticTimer& timer = timers_[i];
    if (timer.config == 0 && timer.expirations == 0) continue;
    InspectNode& child = node.Child("timer" + std::to_string(i));
    child.Set("config", timer.config);
    child.Set("count", timer.count);
    child.Set("running", timer.running);
    child.Set("expirations", timer.expirations);
  }
}

}  // namespace vmbuskit
