#include "transports/embedded_host/overlay_page.h"

#include <cstring>
#include <memory>

#include "gtest/gtest.h"
#include "platform/linux/memfd_memory.h"

namespace vmbuskit {
namespace {

class OverlayPageTest : public ::testing::TestWithParam<OverlayReading> {
 protected:
  OverlayPageTest() : memory_(*MemfdMemory::Create({.page_count = 16})) {}

  std::byte* Ram(Pfn page) { return memory_->Translate(page * kPageSize, kPageSize)->data(); }
  void FillRam(Pfn page, int value) { std::memset(Ram(page), value, kPageSize); }
  int RamByte(Pfn page, size_t offset = 0) { return std::to_integer<int>(Ram(page)[offset]); }

  std::unique_ptr<MemfdMemory> memory_;
  AccessGate gate_;
};

INSTANTIATE_TEST_SUITE_P(BothReadings, OverlayPageTest,
                         ::testing::Values(OverlayReading::kCopyOver, OverlayReading::kHideRam),
                         [](const auto& info) {
                           return info.param == OverlayReading::kCopyOver ? "CopyOver" : "HideRam";
                         });

TEST_P(OverlayPageTest, FirstEnablingShowsZeroes) {
  FillRam(3, 0xAA);
  OverlayPage page(*memory_, GetParam(), &gate_);
  ASSERT_TRUE(page.Enable(3 * kPageSize).ok());
  EXPECT_EQ(page.live(), Ram(3));
  EXPECT_EQ(RamByte(3), 0);
  EXPECT_EQ(RamByte(3, kPageSize - 1), 0);
}

TEST_P(OverlayPageTest, DisablingGivesTheRamBackOrLeavesTheContents) {
  FillRam(3, 0xAA);
  OverlayPage page(*memory_, GetParam(), &gate_);
  ASSERT_TRUE(page.Enable(3 * kPageSize).ok());
  FillRam(3, 0x55);
  page.Disable();
  EXPECT_EQ(page.live(), nullptr);
  EXPECT_FALSE(page.enabled());
  EXPECT_EQ(RamByte(3), GetParam() == OverlayReading::kHideRam ? 0xAA : 0x55);
}

TEST_P(OverlayPageTest, OldContentsComeBackWhenEnabledAgain) {
  OverlayPage page(*memory_, GetParam(), &gate_);
  ASSERT_TRUE(page.Enable(3 * kPageSize).ok());
  FillRam(3, 0x55);
  page.Disable();
  FillRam(3, 0x11);
  ASSERT_TRUE(page.Enable(3 * kPageSize).ok());
  EXPECT_EQ(RamByte(3), 0x55);
}

TEST_P(OverlayPageTest, MovesWithItsContents) {
  FillRam(3, 0xAA);
  FillRam(4, 0xBB);
  OverlayPage page(*memory_, GetParam(), &gate_);
  ASSERT_TRUE(page.Enable(3 * kPageSize).ok());
  FillRam(3, 0x55);
  ASSERT_TRUE(page.Enable(4 * kPageSize).ok());
  EXPECT_EQ(page.live(), Ram(4));
  EXPECT_EQ(RamByte(4), 0x55);
  EXPECT_EQ(RamByte(3), GetParam() == OverlayReading::kHideRam ? 0xAA : 0x55);
}

TEST_P(OverlayPageTest, EnablingTwiceAtOnePlaceChangesNothing) {
  OverlayPage page(*memory_, GetParam(), &gate_);
  ASSERT_TRUE(page.Enable(3 * kPageSize).ok());
  FillRam(3, 0x55);
  ASSERT_TRUE(page.Enable(3 * kPageSize).ok());
  EXPECT_EQ(RamByte(3), 0x55);
}

TEST_P(OverlayPageTest, APageBeyondMemoryIsRefusedAndNothingChanges) {
  OverlayPage page(*memory_, GetParam(), &gate_);
  ASSERT_TRUE(page.Enable(3 * kPageSize).ok());
  EXPECT_FALSE(page.Enable(16 * kPageSize).ok());
  EXPECT_EQ(page.live(), Ram(3));
}

TEST_P(OverlayPageTest, ResetForgetsTheContents) {
  OverlayPage page(*memory_, GetParam(), &gate_);
  ASSERT_TRUE(page.Enable(3 * kPageSize).ok());
  FillRam(3, 0x55);
  page.Reset();
  EXPECT_FALSE(page.enabled());
  ASSERT_TRUE(page.Enable(3 * kPageSize).ok());
  EXPECT_EQ(RamByte(3), 0);
}

}  // namespace
}  // namespace vmbuskit
