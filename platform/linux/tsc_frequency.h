// How fast the time-stamp counter runs.
//
//   const uint64_t hz = MeasureTscFrequency();      // once, at start-up: keeps the thread busy for ten milliseconds
//
// On arm64 the processor says it (cntfrq_el0); on x86 it is measured against CLOCK_MONOTONIC, with an error of a few
// parts in a million. Thread safety: any thread. Units: ticks of ReadOrderedTsc() a second.
#ifndef VMBUSKIT_PLATFORM_LINUX_TSC_FREQUENCY_H_
#define VMBUSKIT_PLATFORM_LINUX_TSC_FREQUENCY_H_

#include <cstdint>

namespace vmbuskit {

uint64_t MeasureTscFrequency();

// The computation alone: the frequency at which `ticks` pass in `nanoseconds` (> 0), rounded to nearest.
uint64_t TscFrequencyFrom(uint64_t ticks, uint64_t nanoseconds);

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_TSC_FREQUENCY_H_
