#include "platform/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace vmbuskit {
namespace {

uint64_t Nanoseconds(Instant instant) {
  return static_cast<uint64_t>(std::max<Duration::rep>(instant.time_since_epoch().count(), 0));
}

Instant ToInstant(uint64_t nanoseconds) {
  return Instant(Duration(static_cast<Duration::rep>(nanoseconds)));
}

}  // namespace

TimerWheel::~TimerWheel() { assert(empty() && "a timer outlives its executor"); }

void TimerWheel::Arm(Timer& timer) {
  Insert(timer);
  if (timer.deadline() < next_) {
    next_ = timer.deadline();
    next_stale_ = false;
  }
}

void TimerWheel::Disarm(Timer& timer) {
  const uint32_t slot = timer.wheel_slot;
  slots_[slot].erase(List::s_iterator_to(timer));
  if (slot != kExpired && slots_[slot].empty()) ClearOccupied(slot);
  if (timer.deadline() <= next_) next_stale_ = true;
}

Instant TimerWheel::NextDeadline() {
  if (has_expired()) return ToInstant(time_);
  if (!next_stale_) return next_;
  next_stale_ = false;
  next_ = kInfiniteFuture;
  if (levels_ == 0) return next_;
  const First first = FindFirst();
  size_t scanned = 0;
  for (const Timer& timer : slots_[first.slot]) {
    if (++scanned > kScanMax) {
      next_ = ToInstant(first.begin);
      next_stale_ = true;  // look again once timers have gone
      break;
    }
    next_ = std::min(next_, timer.deadline());
  }
  return next_;
}

size_t TimerWheel::Advance(Instant now) {
  if (now < next_ && !has_expired()) return 0;
  Expire(now);
  size_t fired = 0;
  while (Timer* timer = TakeExpired()) {
    timer->RunHandler();
    ++fired;
  }
  return fired;
}

void TimerWheel::Expire(Instant now) {
  if (now < next_) return;
  const uint64_t until = Nanoseconds(now);
  while (levels_ != 0) {
    const First first = FindFirst();
    if (first.begin > until) break;
    // Entering a slot's time span empties the slot, so equal deadlines keep their order: whatever
    // is armed for this span from now on comes behind these in the lower levels.
    time_ = std::max(time_, first.begin);
    List& slot = slots_[first.slot];
    ClearOccupied(first.slot);
    if (first.slot < kSlotsPerLevel) {
      for (Timer& timer : slot) timer.wheel_slot = kExpired;
      slots_[kExpired].splice(slots_[kExpired].end(), slot);
    } else {
      List moving;
      moving.swap(slot);
      while (!moving.empty()) {
        Timer& timer = moving.front();
        moving.pop_front();
        Insert(timer);
      }
    }
  }
  time_ = std::max(time_, until);
  next_stale_ = true;
  // A lower bound, in constant time; NextDeadline makes it exact when somebody asks.
  next_ = levels_ == 0 ? kInfiniteFuture : ToInstant(FindFirst().begin);
}

Timer* TimerWheel::TakeExpired() {
  List& expired = slots_[kExpired];
  if (expired.empty()) return nullptr;
  Timer& timer = expired.front();
  expired.pop_front();
  return &timer;
}

void TimerWheel::Insert(Timer& timer) {
  const uint64_t deadline = std::max(Nanoseconds(timer.deadline()), time_);
  const uint64_t difference = deadline ^ time_;
  const uint32_t level =
      difference == 0 ? 0 : static_cast<uint32_t>(std::bit_width(difference) - 1) / kDigitBits;
  const uint32_t digit = (deadline >> (level * kDigitBits)) % kSlotsPerLevel;
  timer.wheel_slot = level * kSlotsPerLevel + digit;
  slots_[timer.wheel_slot].push_back(timer);
  occupied_[level] |= uint64_t{1} << digit;
  levels_ |= uint32_t{1} << level;
}

TimerWheel::First TimerWheel::FindFirst() const {
  // Timers of a lower level agree with the wheel's time in all digits above it, so they come
  // earlier; within a level no slot lies before the time's own digit.
  const uint32_t level = static_cast<uint32_t>(std::countr_zero(levels_));
  const uint64_t digit = static_cast<uint64_t>(std::countr_zero(occupied_[level]));
  const uint32_t shift = level * kDigitBits;
  const uint32_t above = shift + kDigitBits;
  const uint64_t prefix = above >= 64 ? 0 : time_ >> above << above;
  return {.slot = level * kSlotsPerLevel + static_cast<uint32_t>(digit),
          .begin = prefix | digit << shift};
}

void TimerWheel::ClearOccupied(uint32_t slot) {
  const uint32_t level = slot / kSlotsPerLevel;
  occupied_[level] &= ~(uint64_t{1} << slot % kSlotsPerLevel);
  if (occupied_[level] == 0) levels_ &= ~(uint32_t{1} << level);
}

}  // namespace vmbuskit
