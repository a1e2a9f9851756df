#include "platform/linux/tsc_frequency.h"

#include <time.h>

#include <limits>

#include "platform/tsc.h"

namespace vmbuskit {

#if defined(__aarch64__)

uint64_t MeasureTscFrequency() {
  uint64_t frequency;
  asm volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
  return frequency;
}

#else

namespace {

constexpr uint64_t kMeasureNanoseconds = 10'000'000;
constexpr int kTries = 16;

struct Sample {
  uint64_t tsc;
  uint64_t nanoseconds;
};

uint64_t ReadClock() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

// Both clocks at the same moment, as nearly as the best of a few tries comes: one that was interrupted between its
// two readings of the counter loses.
Sample TakeSample() {
  Sample best{};
  uint64_t narrowest = std::numeric_limits<uint64_t>::max();
  for (int i = 0; i < kTries; ++i) {
    const uint64_t before = ReadOrderedTsc();
    const uint64_t nanoseconds = ReadClock();
    const uint64_t after = ReadOrderedTsc();
    if (after - before >= narrowest) continue;
    narrowest = after - before;
    best = {.tsc = before + narrowest / 2, .nanoseconds = nanoseconds};
  }
  return best;
}

}  // namespace

uint64_t MeasureTscFrequency() {
  const Sample begin = TakeSample();
  while (ReadClock() - begin.nanoseconds < kMeasureNanoseconds) {
  }
  const Sample end = TakeSample();
  return TscFrequencyFrom(end.tsc - begin.tsc, end.nanoseconds - begin.nanoseconds);
}

#endif

uint64_t TscFrequencyFrom(uint64_t ticks, uint64_t nanoseconds) {
  __extension__ using Wide = unsigned __int128;
  const Wide scaled = Wide{ticks} * 1'000'000'000 + nanoseconds / 2;
  return static_cast<uint64_t>(scaled / nanoseconds);
}

}  // namespace vmbuskit
