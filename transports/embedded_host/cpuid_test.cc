#include "transports/embedded_host/cpuid.h"

#include "gtest/gtest.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {
namespace {

constexpr CpuidConfig kTwoProcessors{.vp_count = 2};

TEST(Cpuid, ShowsTheHypervisorByVendorTextAndInterface) {
  EXPECT_EQ(EmulateCpuid(kTwoProcessors, 1).ecx, 0x80000000u);
  const CpuidResult vendor = EmulateCpuid(kTwoProcessors, 0x40000000);
  EXPECT_EQ(vendor.eax, 0x40000005u);
  EXPECT_EQ(vendor.ebx, 0x7263694Du);
  EXPECT_EQ(vendor.ecx, 0x666F736Fu);
  EXPECT_EQ(vendor.edx, 0x76482074u);
  EXPECT_EQ(EmulateCpuid(kTwoProcessors, 0x40000001).eax, 0x31237648u);
}

TEST(Cpuid, HasThePrivilegesThatAVmbusGuestNeeds) {
  const CpuidResult features = EmulateCpuid(kTwoProcessors, kCpuidLeafFeatures);
  for (int bit : {1, 2, 3, 5, 6, 9, 11}) EXPECT_TRUE(features.eax >> bit & 1) << "EAX bit " << bit;
  for (int bit : {4, 5, 20}) EXPECT_TRUE(features.ebx >> bit & 1) << "EBX bit " << bit;
  for (int bit : {8, 10, 17, 19}) EXPECT_TRUE(features.edx >> bit & 1) << "EDX bit " << bit;
  EXPECT_FALSE(features.ebx & kPrivilegeIsolation);
  EXPECT_FALSE(features.edx & (kFeatureXmmInput | kFeatureXmmOutput)) << "no such registers here";
}

TEST(Cpuid, OptionsTakeFeaturesAway) {
  const CpuidConfig config{.vp_count = 1, .direct_timers = false, .extended_hypercalls = false};
  const CpuidResult features = EmulateCpuid(config, kCpuidLeafFeatures);
  EXPECT_EQ(features.edx & kFeatureDirectTimers, 0u);
  EXPECT_EQ(features.ebx & kPrivilegeExtendedHypercalls, 0u);
}

TEST(Cpuid, HintsAndLimits) {
  const CpuidResult hints = EmulateCpuid(kTwoProcessors, kCpuidLeafHints);
  EXPECT_TRUE(hints.eax & kHintAutoEoiDeprecated);
  EXPECT_EQ(hints.ebx, 0xFFFFFFFFu);
  const CpuidResult limits = EmulateCpuid(kTwoProcessors, kCpuidLeafLimits);
  EXPECT_EQ(limits.eax, 2u);
  EXPECT_EQ(limits.ebx, 2u);
}

TEST(Cpuid, UnknownLeavesAreZero) {
  for (uint32_t leaf : {0x40000006u, 0x4000000Cu, 0x40000080u, 0x40000082u, 0u, 0xFFFFFFFFu}) {
    const CpuidResult result = EmulateCpuid(kTwoProcessors, leaf);
    EXPECT_EQ(result.eax | result.ebx | result.ecx | result.edx, 0u) << std::hex << leaf;
  }
}

}  // namespace
}  // namespace vmbuskit
