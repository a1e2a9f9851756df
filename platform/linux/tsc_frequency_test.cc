#include "platform/linux/tsc_frequency.h"

#include <cstdint>

#include "gtest/gtest.h"
#include "platform/tsc.h"

namespace vmbuskit {
namespace {

TEST(Tsc, NeverGoesBackOnOneThread) {
  uint64_t last = ReadOrderedTsc();
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t now = ReadOrderedTsc();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(Tsc, FrequencyFromTicksAndTime) {
  EXPECT_EQ(TscFrequencyFrom(25'000'000, 10'000'000), 2'500'000'000u);
  EXPECT_EQ(TscFrequencyFrom(1, 3), 333'333'333u);
  EXPECT_EQ(TscFrequencyFrom(2, 3), 666'666'667u);  // to the nearest
  // A year of ticks at 4 GHz does not overflow.
  EXPECT_EQ(TscFrequencyFrom(126'144'000'000'000'000, 31'536'000'000'000'000), 4'000'000'000u);
}

TEST(Tsc, MeasuredFrequencyIsThatOfAProcessor) {
  const uint64_t frequency = MeasureTscFrequency();
  EXPECT_GT(frequency, 1'000'000u);
  EXPECT_LT(frequency, 10'000'000'000u);
}

}  // namespace
}  // namespace vmbuskit
