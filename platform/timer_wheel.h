// All armed timers of one executor, in a hierarchical wheel: eleven levels of 64 slots, where a
// timer lies on the level of the highest six-bit digit in which its deadline differs from the
// wheel's time. Arm and Disarm take constant time; a timer that lives until its deadline moves down
// at most ten times. Nothing is allocated.
//
//   TimerWheel wheel;
//   wheel.Arm(timer);                                   // from Executor::ArmTimer;
//   timer.deadline() is set Instant wake_at = wheel.NextDeadline();             // how long the
//   executor may sleep wheel.Advance(now);                                 // runs the handlers of
//   what is due
//
// Order: by deadline to the nanosecond, equal deadlines in the order they were armed; deadlines
// that had passed when they were armed count as due at the wheel's time. Handlers may arm and
// disarm any timer, their own too; what they arm fires in a later call of Advance, so that no call
// is endless.
//
// Thread safety: none; the executor's. Lifetime: armed timers must stay alive; the wheel must
// outlive them. Units: nanoseconds of the platform clock, from 0 on (about 292 years).
#ifndef VMBUSKIT_PLATFORM_TIMER_WHEEL_H_
#define VMBUSKIT_PLATFORM_TIMER_WHEEL_H_

#include <array>
#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <cstdint>

#include "platform/executor.h"
#include "platform/time.h"

namespace vmbuskit {

class TimerWheel {
 public:
  TimerWheel() = default;
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  void Arm(Timer& timer);
  void Disarm(Timer& timer);

  // Never later than the earliest deadline, and equal to it unless more than kScanMax timers share
  // the slot that comes first (then the beginning of that slot). kInfiniteFuture when no timer is
  // armed.
  Instant NextDeadline();

  // Runs the handlers of all timers due at `now`, earliest first; how many. Time never goes back.
  size_t Advance(Instant now);

  // The same in two parts, for an executor that runs one handler a turn: what is due at `now`
  // becomes expired; then take the expired ones, unlinked, one by one (null when none is left) and
  // call RunHandler.
  void Expire(Instant now);
  Timer* TakeExpired();
  bool has_expired() const { return !slots_[kExpired].empty(); }

  bool empty() const { return levels_ == 0 && !has_expired(); }

  static constexpr size_t kScanMax = 32;

 private:
  using List = boost::intrusive::list<Timer, boost::intrusive::constant_time_size<false>>;

  static constexpr uint32_t kDigitBits = 6;
  static constexpr uint32_t kSlotsPerLevel = 1 << kDigitBits;
  static constexpr uint32_t kLevels = 11;  // 66 bits
  static constexpr uint32_t kExpired = kLevels * kSlotsPerLevel;

  void Insert(Timer& timer);
  // Level, slot and beginning of the slot that comes first; levels_ must not be 0.
  struct First {
    uint32_t slot;
    uint64_t begin;
  };
  First FindFirst() const;
  void ClearOccupied(uint32_t slot);

  uint64_t time_ = 0;  // every armed timer lies where its deadline belongs as seen from here
  Instant next_ = kInfiniteFuture;  // never later than the earliest deadline
  bool next_stale_ = false;         // a timer with deadline `next_` was disarmed
  uint32_t levels_ = 0;             // bit per level with an occupied slot
  std::array<uint64_t, kLevels> occupied_{};
  std::array<List, kExpired + 1> slots_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_TIMER_WHEEL_H_
