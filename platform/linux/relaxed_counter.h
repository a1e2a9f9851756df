// A counter that one thread counts and any thread reads. Costs its owner what a plain integer costs.
#ifndef VMBUSKIT_PLATFORM_LINUX_RELAXED_COUNTER_H_
#define VMBUSKIT_PLATFORM_LINUX_RELAXED_COUNTER_H_

#include <atomic>
#include <cstdint>

namespace vmbuskit {

class RelaxedCounter {
 public:
  // Owner only.
  void Add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_RELAXED_COUNTER_H_
