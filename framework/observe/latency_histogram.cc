#include "framework/observe/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace vmbuskit {

size_t LatencyHistogram::BucketOf(uint64_t value) {
  // Values below 128 have a bucket each; above, the leading 7 bits choose it.
  const auto width = static_cast<uint32_t>(std::bit_width(value));
  const uint32_t shift = width > kStepsBits + 1 ? width - (kStepsBits + 1) : 0;
  return (static_cast<size_t>(shift) << kStepsBits) + static_cast<size_t>(value >> shift);
}

uint64_t LatencyHistogram::LargestOf(size_t bucket) {
  constexpr uint64_t kSteps = uint64_t{1} << kStepsBits;
  if (bucket < 2 * kSteps) return bucket;
  const uint64_t shift = (bucket >> kStepsBits) - 1;
  const uint64_t leading = bucket - (shift << kStepsBits);
  return ((leading + 1) << shift) - 1;
}

void LatencyHistogram::Record(Duration duration) {
  const int64_t value = std::max<int64_t>(duration.count(), 0);
  const int64_t kept = std::min<int64_t>(value, kLongest.count());
  ++buckets_[BucketOf(static_cast<uint64_t>(kept))];
  min_ = count_ == 0 ? value : std::min(min_, value);
  max_ = std::max(max_, value);
  sum_ += static_cast<uint64_t>(value);
  ++count_;
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  if (other.count_ == 0) return;
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
  count_ += other.count_;
}

Duration LatencyHistogram::mean() const {
  return count_ == 0 ? Duration::zero() : Duration(static_cast<int64_t>(sum_ / count_));
}

Duration LatencyHistogram::Percentile(double percent) const {
  if (count_ == 0) return Duration::zero();
  const double wanted = std::ceil(static_cast<double>(count_) * percent / 100.0);
  const auto rank = std::clamp<uint64_t>(static_cast<uint64_t>(wanted), 1, count_);
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen < rank) continue;
    return Duration(std::min<int64_t>(static_cast<int64_t>(LargestOf(i)), max_));
  }
  return max();
}

}  // namespace vmbuskit
