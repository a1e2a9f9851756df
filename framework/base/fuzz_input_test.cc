#include "framework/base/fuzz_input.h"

#include <array>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using ::testing::ElementsAre;

constexpr std::array<uint8_t, 8> kInput = {0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xFF};

TEST(FuzzInput, TakesValuesFromTheFront) {
  FuzzInput input(kInput.data(), kInput.size());
  EXPECT_EQ(input.ConsumeIntegral<uint8_t>(), 0x12);
  EXPECT_EQ(input.ConsumeIntegral<uint16_t>(), 0x5634);
  EXPECT_EQ(input.ConsumeIntegral<uint32_t>(), 0xDEBC9A78u);
  EXPECT_EQ(input.remaining_bytes(), 1u);
}

TEST(FuzzInput, TakesAsManyBytesAsTheRangeNeeds) {
  FuzzInput input(kInput.data(), kInput.size());
  EXPECT_EQ(input.ConsumeIntegralInRange<uint32_t>(5, 5), 5u);
  EXPECT_EQ(input.remaining_bytes(), 8u);
  EXPECT_EQ(input.ConsumeIntegralInRange<uint32_t>(10, 15), 10 + 0x12u % 6);
  EXPECT_EQ(input.remaining_bytes(), 7u);
  EXPECT_EQ(input.ConsumeIntegralInRange<uint64_t>(0, 256), 0x5634u % 257);
  EXPECT_EQ(input.remaining_bytes(), 5u);
}

TEST(FuzzInput, ReachesBothEndsOfASignedRange) {
  constexpr std::array<uint8_t, 3> kBytes = {0, 10, 0xFF};
  FuzzInput input(kBytes.data(), kBytes.size());
  EXPECT_EQ(input.ConsumeIntegralInRange<int>(-5, 5), -5);
  EXPECT_EQ(input.ConsumeIntegralInRange<int>(-5, 5), 5);
  EXPECT_EQ(input.ConsumeIntegral<int8_t>(), 127);
}

TEST(FuzzInput, TakesAllOf64Bits) {
  FuzzInput input(kInput.data(), kInput.size());
  EXPECT_EQ(input.ConsumeIntegral<uint64_t>(), 0xFFDEBC9A78563412u);
}

TEST(FuzzInput, GivesTheSmallestValuesPastItsEnd) {
  FuzzInput input(nullptr, 0);
  EXPECT_EQ(input.ConsumeIntegralInRange<int>(-3, 9), -3);
  EXPECT_EQ(input.ConsumeIntegral<uint64_t>(), 0u);
  EXPECT_FALSE(input.ConsumeBool());
  EXPECT_TRUE(input.ConsumeSpan(4).empty());
  EXPECT_TRUE(input.ConsumeRemainingBytes<std::byte>().empty());
}

TEST(FuzzInput, TakesNoMoreBytesThanThereAre) {
  FuzzInput input(kInput.data(), kInput.size());
  EXPECT_THAT(input.ConsumeBytes<uint8_t>(2), ElementsAre(0x12, 0x34));
  const std::span<const std::byte> span = input.ConsumeSpan(3);
  EXPECT_EQ(static_cast<const void*>(span.data()), kInput.data() + 2);
  EXPECT_EQ(span.size(), 3u);
  EXPECT_FALSE(input.ConsumeBool());  // 0xBC
  EXPECT_THAT(input.ConsumeBytes<uint8_t>(100), ElementsAre(0xDE, 0xFF));
  EXPECT_EQ(input.remaining_bytes(), 0u);
}

}  // namespace
}  // namespace vmbuskit
