// How long things took: a log-linear histogram, exact to 1/64 of the value, of fixed size.
//
//   histogram.Record(latency);
//   all.Merge(histogram);
//   Duration p99 = all.Percentile(99.0);
//
// Thread safety: one owner. Record and Merge never allocate. Units: nanoseconds; negative counts as 0, and what is
// longer than kLongest as kLongest (max() stays exact).
#ifndef VMBUSKIT_FRAMEWORK_OBSERVE_LATENCY_HISTOGRAM_H_
#define VMBUSKIT_FRAMEWORK_OBSERVE_LATENCY_HISTOGRAM_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "platform/time.h"

namespace vmbuskit {

class LatencyHistogram {
 public:
  static constexpr uint32_t kStepsBits = 6;  // 64 steps for each power of two
  static constexpr uint32_t kBitsMax = 42;
  static constexpr Duration kLongest{(int64_t{1} << kBitsMax) - 1};  // 73 minutes

  void Record(Duration duration);
  void Merge(const LatencyHistogram& other);

  uint64_t count() const { return count_; }
  Duration min() const { return count_ == 0 ? Duration::zero() : Duration(min_); }
  Duration max() const { return Duration(max_); }
  Duration mean() const;
  // The smallest duration that at least `percent` of all do not exceed, rounded up by at most 1/64; zero when there is
  // none. `percent` from 0 to 100.
  Duration Percentile(double percent) const;

 private:
  static constexpr size_t kBuckets = (kBitsMax - kStepsBits + 1) << kStepsBits;
  static size_t BucketOf(uint64_t value);
  static uint64_t LargestOf(size_t bucket);

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  int64_t min_ = 0;
  int64_t max_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_OBSERVE_LATENCY_HISTOGRAM_H_
