// The time-stamp counter, read in program order: no earlier load may still be under way, as protocol 01 section 5
// asks for between the two sequence reads of the TSC page.
//
//   uint64_t begin = ReadOrderedTsc();
//
// Its frequency: platform/linux/tsc_frequency.h. Thread safety: any thread.
#ifndef VMBUSKIT_PLATFORM_TSC_H_
#define VMBUSKIT_PLATFORM_TSC_H_

#include <cstdint>

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "no time-stamp counter is known for this processor"
#endif

namespace vmbuskit {

inline uint64_t ReadOrderedTsc() {
#if defined(__x86_64__)
  uint32_t low;
  uint32_t high;
  asm volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
  return uint64_t{high} << 32 | low;
#else
  uint64_t count;
  asm volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(count) : : "memory");
  return count;
#endif
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_TSC_H_
