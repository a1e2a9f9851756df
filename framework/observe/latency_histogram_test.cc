// Percentiles are what they are called, to 1/64, whatever the order and the size of what was recorded.
#include "framework/observe/latency_histogram.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"
#include "platform/random.h"

namespace vmbuskit {
namespace {

using std::chrono::hours;
using std::chrono::nanoseconds;

TEST(LatencyHistogramTest, EmptyHasNothing) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.Percentile(50), nanoseconds(0));
  EXPECT_EQ(histogram.mean(), nanoseconds(0));
  EXPECT_EQ(histogram.max(), nanoseconds(0));
}

TEST(LatencyHistogramTest, SmallValuesAreExact) {
  LatencyHistogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.Record(nanoseconds(i));
  EXPECT_EQ(histogram.Percentile(50), nanoseconds(50));
  EXPECT_EQ(histogram.Percentile(90), nanoseconds(90));
  EXPECT_EQ(histogram.Percentile(99), nanoseconds(99));
  EXPECT_EQ(histogram.Percentile(99.9), nanoseconds(100));
  EXPECT_EQ(histogram.Percentile(0), nanoseconds(1));
  EXPECT_EQ(histogram.min(), nanoseconds(1));
  EXPECT_EQ(histogram.max(), nanoseconds(100));
  EXPECT_EQ(histogram.mean(), nanoseconds(50));
}

TEST(LatencyHistogramTest, OneValueIsEveryPercentile) {
  for (const int64_t value : {0L, 127L, 128L, 129L, 1'000'003L, (1L << 42) - 1}) {
    LatencyHistogram histogram;
    histogram.Record(nanoseconds(value));
    EXPECT_EQ(histogram.Percentile(50), nanoseconds(value));
    EXPECT_EQ(histogram.Percentile(100), nanoseconds(value));
  }
}

TEST(LatencyHistogramTest, AnySampleIsKnownToASixtyFourth) {
  Random random(7);
  LatencyHistogram histogram;
  std::vector<int64_t> sample;
  for (int i = 0; i < 20'000; ++i) {
    const auto value = static_cast<int64_t>(random.Next() >> (22 + random.Below(42)));
    sample.push_back(value);
    histogram.Record(nanoseconds(value));
  }
  std::ranges::sort(sample);
  for (const double percent : {1.0, 25.0, 50.0, 90.0, 99.0, 99.9}) {
    const auto rank = static_cast<size_t>(percent / 100.0 * 20'000);
    const int64_t exact = sample[rank - 1];
    EXPECT_GE(histogram.Percentile(percent).count(), exact) << percent;
    EXPECT_LE(histogram.Percentile(percent).count(), exact + exact / 64 + 1) << percent;
  }
}

TEST(LatencyHistogramTest, MergedIsAsIfRecordedInOne) {
  LatencyHistogram odd, even, all;
  for (int i = 0; i < 1000; ++i) {
    const nanoseconds value(i * 977);
    (i % 2 == 0 ? even : odd).Record(value);
    all.Record(value);
  }
  LatencyHistogram merged;
  merged.Merge(odd);
  merged.Merge(even);
  merged.Merge(LatencyHistogram());
  EXPECT_EQ(merged.count(), 1000u);
  EXPECT_EQ(merged.min(), nanoseconds(0));
  EXPECT_EQ(merged.max(), all.max());
  EXPECT_EQ(merged.mean(), all.mean());
  for (const double percent : {10.0, 50.0, 99.0}) {
    EXPECT_EQ(merged.Percentile(percent), all.Percentile(percent));
  }
}

TEST(LatencyHistogramTest, WhatIsOutOfRangeIsNotLost) {
  LatencyHistogram histogram;
  histogram.Record(nanoseconds(-5));
  histogram.Record(hours(100));
  EXPECT_EQ(histogram.count(), 2u);
  EXPECT_EQ(histogram.min(), nanoseconds(0));
  EXPECT_EQ(histogram.max(), hours(100));
  EXPECT_EQ(histogram.Percentile(100), LatencyHistogram::kLongest);
}

}  // namespace
}  // namespace vmbuskit
