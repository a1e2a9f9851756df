#include "framework/bus/placement.h"

#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

constexpr DeviceSpeed kSlow = DeviceSpeed::kSlow;
constexpr DeviceSpeed kFast = DeviceSpeed::kFast;

// The CPUs that a device with `channels` channels gets, primary first.
std::vector<uint32_t> PlaceDevice(Placement& placement, uint16_t channels) {
  std::vector<uint32_t> cpus;
  for (uint16_t index = 0; index < channels; ++index) {
    cpus.push_back(placement.Place(kFast, index, cpus));
  }
  return cpus;
}

TEST(PlacementTest, SlowDevicesStayOnCpu0AndTakeNobodysTurn) {
  Placement placement(4);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(placement.Place(kSlow, 0, {}), 0u);
  EXPECT_EQ(placement.Place(kFast, 0, {}), 0u);
  EXPECT_EQ(placement.Place(kSlow, 0, {}), 0u);
  EXPECT_EQ(placement.Place(kFast, 0, {}), 1u);
}

TEST(PlacementTest, FastPrimariesGoRoundAndTheMapStartsAnewWhenFull) {
  Placement placement(3);
  std::vector<uint32_t> cpus;
  for (int i = 0; i < 7; ++i) cpus.push_back(placement.Place(kFast, 0, {}));
  EXPECT_EQ(cpus, (std::vector<uint32_t>{0, 1, 2, 0, 1, 2, 0}));
}

TEST(PlacementTest, SubchannelsAvoidTheCpusOfTheirDevice) {
  Placement placement(4);
  EXPECT_EQ(PlaceDevice(placement, 4), (std::vector<uint32_t>{0, 1, 2, 3}));
  // Another device between: the map holds CPU 0 only, then the first device's sub-channel asks.
  EXPECT_EQ(placement.Place(kFast, 0, {}), 0u);
  const std::vector<uint32_t> used = {0, 1};
  EXPECT_EQ(placement.Place(kFast, 2, used), 2u);
}

TEST(PlacementTest, MoreChannelsThanCpusShareThem) {
  Placement placement(2);
  EXPECT_EQ(PlaceDevice(placement, 5), (std::vector<uint32_t>{0, 1, 0, 1, 0}));
}

TEST(PlacementTest, AnIndexBelowTheCpuCountWithEveryCpuUsedEnds) {
  Placement placement(2);
  const std::vector<uint32_t> used = {0, 1};
  EXPECT_LT(placement.Place(kFast, 1, used), 2u);
}

TEST(PlacementTest, OneCpuServesEverything) {
  Placement placement(1);
  EXPECT_EQ(PlaceDevice(placement, 3), (std::vector<uint32_t>{0, 0, 0}));
  EXPECT_EQ(Placement(0).cpu_count(), 1u);
}

TEST(PlacementTest, OfflineCpusGetNothingUntilTheyAreBack) {
  Placement placement(4);
  placement.SetOnline(1, false);
  EXPECT_FALSE(placement.online(1));
  EXPECT_EQ(placement.online_count(), 3u);
  EXPECT_EQ(PlaceDevice(placement, 4), (std::vector<uint32_t>{0, 2, 3, 0}));
  placement.SetOnline(1, true);
  EXPECT_EQ(placement.Place(kFast, 0, {}), 1u);
}

TEST(PlacementTest, Cpu0CannotLeave) {
  Placement placement(2);
  placement.SetOnline(0, false);
  EXPECT_TRUE(placement.online(0));
  placement.SetOnline(7, false);  // does not exist
  EXPECT_FALSE(placement.online(7));
  EXPECT_EQ(placement.online_count(), 2u);
}

}  // namespace
}  // namespace vmbuskit
