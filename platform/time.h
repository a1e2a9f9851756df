// Time as the whole system sees it: a monotonic instant and a duration, both in nanoseconds.
//
//   Instant deadline = executor.Now() + std::chrono::seconds(60);
//
// Nothing outside platform/ reads a clock of its own: an executor tells the time, which under the
// simulator is virtual. Thread safety: plain values.
#ifndef VMBUSKIT_PLATFORM_TIME_H_
#define VMBUSKIT_PLATFORM_TIME_H_

#include <chrono>
#include <cstdint>

namespace vmbuskit {

using Duration = std::chrono::nanoseconds;

// Tag of the platform's monotonic clock. Its epoch is the platform's own affair.
struct PlatformClock {
  using rep = Duration::rep;
  using period = Duration::period;
  using duration = Duration;
  static constexpr bool is_steady = true;
};

using Instant = std::chrono::time_point<PlatformClock, Duration>;

inline constexpr Instant kInfiniteFuture = Instant::max();

// One tick of Hyper-V's reference time (protocol 01 section 5).
using ReferenceTicks = std::chrono::duration<uint64_t, std::ratio<1, 10'000'000>>;

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_TIME_H_
