// Counts the guest's needless signals and, like the real host, suspends a guest that sends too many of them in a
// window. Source: protocol 01 section 7.4, "Interrupt throttle".
//
//   if (throttle.Suspended(now)) timer.Arm(throttle.resume_at()); else Drain();
//   throttle.OnSignal(/*needless=*/drained == 0, now);
//
// Thread safety: the host executor.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_THROTTLE_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_THROTTLE_H_

#include <algorithm>
#include <cstdint>

#include "framework/observe/inspect.h"
#include "platform/time.h"
#include "transports/embedded_host/partition_options.h"

namespace vmbuskit {

class SignalThrottle {
 public:
  explicit SignalThrottle(const ThrottleOptions& options) : options_(options) {}

  void OnSignal(bool needless, Instant now) {
    ++signals_;
    if (!needless) return;
    ++needless_;
    if (options_.needless_signals_max == 0) return;
    if (now - window_start_ >= options_.window) {
      window_start_ = now;
      in_window_ = 0;
    }
    if (++in_window_ <= options_.needless_signals_max) return;
    in_window_ = 0;
    resume_at_ = now + options_.suspension;
    ++suspensions_;
  }

  bool Suspended(Instant now) const { return now < resume_at_; }
  Instant resume_at() const { return resume_at_; }

  // Saves, or takes over what was saved: times count from now, as time stood still in between.
  template <typename Archive>
  void Exchange(Archive& archive, Instant now) {
    Duration in_window = std::min(now - window_start_, options_.window);
    Duration suspended = std::max(resume_at_ - now, Duration::zero());
    archive(in_window);
    archive(suspended);
    window_start_ = now - std::clamp(in_window, Duration::zero(), options_.window);
    resume_at_ = now + std::clamp(suspended, Duration::zero(), options_.suspension);
    archive(in_window_);
    archive(signals_);
    archive(needless_);
    archive(suspensions_);
  }

  uint64_t signals() const { return signals_; }
  uint64_t needless() const { return needless_; }
  uint64_t suspensions() const { return suspensions_; }

  void Inspect(InspectNode& node) const {
    node.Set("signals", signals_);
    node.Set("needless", needless_);
    node.Set("suspensions", suspensions_);
  }

 private:
  const ThrottleOptions options_;
  Instant window_start_{};
  Instant resume_at_{};
  uint32_t in_window_ = 0;  // needless signals
  uint64_t signals_ = 0;
  uint64_t needless_ = 0;
  uint64_t suspensions_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_THROTTLE_H_
