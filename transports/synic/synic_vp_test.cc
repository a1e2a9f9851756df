// One processor's SynIC: order of registers, the message protocol, event flags; and the
// hypervisor's introduction.
#include "transports/synic/synic_vp.h"

#include <gtest/gtest.h>

#include "framework/base/hex.h"
#include "platform/linux/memfd_memory.h"
#include "platform/page_allocator.h"
#include "platform/sim/scheduler.h"
#include "transports/synic/fake_partition.h"
#include "transports/synic/hypervisor_guest.h"
#include "transports/synic/synthetic_timer.h"

namespace vmbuskit {
namespace {

struct Counter {
  void Add() { ++calls; }
  int calls = 0;
};

class SynicVpTest : public testing::Test, public SynicVp::MessageHandler {
 protected:
  SynicVpTest() : synic_(partition_, 0, cpu_, {}, *this) {}

  void OnVmbusMessage(uint32_t vp, std::span<const std::byte> message) override {
    EXPECT_EQ(vp, 0u);
    messages_.push_back(ToHex(message));
    if (on_message_) on_message_();
  }
  void Enable() {
    ASSERT_TRUE(synic_.Enable(pages_).ok());
    partition_.writes.clear();
  }
  void Run() { ASSERT_TRUE(sim_.RunUntilIdle().ok()); }

  std::unique_ptr<MemfdMemory> memory_ = *MemfdMemory::Create({.page_count = 16});
  FirstFitPageAllocator pages_{*memory_, 1, 15};
  FakePartition partition_{*memory_, 1};
  SimScheduler sim_{0};
  SimExecutor& cpu_ = sim_.NewExecutor(0);
  std::vector<std::string> messages_;
  std::function<void()> on_message_;
  SynicVp synic_;
};

TEST_F(SynicVpTest, ComesUpInOrder) {
  ASSERT_TRUE(synic_.Enable(pages_).ok());
  using Write = FakePartition::Write;
  EXPECT_EQ(partition_.writes, (std::vector<Write>{{0, kRegSint0 + 2, 0x100F3},  // masked
                                                   {0, kRegSimp, 0x1001},
                                                   {0, kRegSiefp, 0x2001},
                                                   {0, kRegSint0 + 2, 0xF3},
                                                   {0, kRegScontrol, 1}}));
  EXPECT_EQ(synic_.vp_index(), 10u);
  // What an earlier owner left in the overlays is gone.
  EXPECT_EQ(partition_.Slot(0).type, 0u);
  synic_.Poll();
  EXPECT_EQ(synic_.counters().unknown_flags, 0u);
  EXPECT_EQ(synic_.counters().spurious, 1u);
}

TEST_F(SynicVpTest, GoesDownInOrder) {
  Enable();
  synic_.Disable();
  using Write = FakePartition::Write;
  EXPECT_EQ(
      partition_.writes,
      (std::vector<Write>{
          {0, kRegSint0 + 2, 0x100F3}, {0, kRegSimp, 0}, {0, kRegSiefp, 0}, {0, kRegScontrol, 0}}));
  EXPECT_EQ(pages_.allocated(), 0u);
  EXPECT_FALSE(partition_.connected(0, 0xF3));
  partition_.writes.clear();
  synic_.Disable();
  EXPECT_TRUE(partition_.writes.empty());
}

TEST_F(SynicVpTest, KeepsReservedBits) {
  ASSERT_TRUE(partition_.WriteRegister(0, kRegScontrol, 0x70).ok());
  ASSERT_TRUE(partition_.WriteRegister(0, kRegSint0 + 2, kSintReset | 0xFF0000FF00).ok());
  Enable();
  EXPECT_EQ(partition_.reg(0, kRegScontrol), 0x71u);
  EXPECT_EQ(partition_.reg(0, kRegSint0 + 2), 0xFF0000FFF3u & ~kSintMasked);
}

TEST_F(SynicVpTest, APageThatCannotBeTakenBackIsLeaked) {
  Enable();
  partition_.failing_registers.insert(kRegSimp);
  synic_.Disable();
  EXPECT_EQ(pages_.leaked(), 1u);
  EXPECT_EQ(pages_.allocated(), 0u);
}

TEST_F(SynicVpTest, FailsCleanlyHalfWay) {
  partition_.failing_registers.insert(kRegSiefp);
  EXPECT_FALSE(synic_.Enable(pages_).ok());
  EXPECT_EQ(pages_.allocated(), 0u);
  EXPECT_EQ(partition_.reg(0, kRegSint0 + 2) & kSintMasked, kSintMasked);
}

TEST_F(SynicVpTest, TakesAMessageAndAsksForTheNext) {
  Enable();
  const std::vector<std::byte> slot = FromHex(
      "01 00 00 00 0c 01 00 00 01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00 05 00 00 00");
  std::memcpy(&partition_.Slot(0), slot.data(), slot.size());
  synic_.Poll();
  EXPECT_EQ(messages_, std::vector<std::string>{"02 00 00 00 00 00 00 00 05 00 00 00"});
  EXPECT_EQ(partition_.Slot(0).type, 0u);
  EXPECT_EQ(partition_.end_of_messages, 1u);
}

TEST_F(SynicVpTest, WritesNoEomWithoutNeed) {
  Enable();
  partition_.Queue(0, FromHex("04 00 00 00 00 00 00 00"));
  Run();
  EXPECT_EQ(messages_.size(), 1u);
  EXPECT_EQ(partition_.end_of_messages, 0u);
}

TEST_F(SynicVpTest, DeliversAQueueInOrder) {
  Enable();
  for (uint8_t i = 0; i < 200; ++i) partition_.Queue(0, {{std::byte{i}, std::byte{7}}});
  Run();
  ASSERT_EQ(messages_.size(), 200u);
  EXPECT_EQ(messages_[0], "00 07");
  EXPECT_EQ(messages_[199], "c7 07");
  EXPECT_EQ(partition_.queued(0), 0u);
}

TEST_F(SynicVpTest, AHostThatNeverStopsTalkingDoesNotHoldTheExecutor) {
  Enable();
  Counter other;
  // Every message brings the next one into the slot.
  on_message_ = [&] { partition_.Queue(0, {{std::byte{1}}}); };
  partition_.Queue(0, {{std::byte{1}}});
  ASSERT_TRUE(cpu_.Post(Callback::To<&Counter::Add>(&other)));
  EXPECT_TRUE(sim_.RunUntil([&] { return messages_.size() >= 300; }, std::chrono::seconds(1)));
  EXPECT_EQ(other.calls, 1);
  on_message_ = nullptr;
  Run();
}

TEST_F(SynicVpTest, RefusesWhatIsNoMessage) {
  Enable();
  partition_.Queue(0, {{std::byte{1}}}, /*type=*/0x80000000);
  Run();
  SynicMessage& slot = partition_.Slot(0);
  slot.payload_size = 241;
  slot.type = kMessageTypeVmbus;
  synic_.Poll();
  partition_.Queue(0, std::vector<std::byte>(24), kMessageTypeTimer);  // no timer of ours
  partition_.Queue(0, {{std::byte{1}}}, kMessageTypeTimer);            // short
  Run();
  EXPECT_TRUE(messages_.empty());
  EXPECT_EQ(synic_.counters().bad_messages, 4u);
  EXPECT_EQ(slot.type, 0u);  // taken out all the same, or nothing would ever follow
}

TEST_F(SynicVpTest, CallsTheTargetOfEachFlagOnce) {
  Enable();
  Counter first, middle, last;
  synic_.SetTarget(1, Callback::To<&Counter::Add>(&first));
  synic_.SetTarget(291, Callback::To<&Counter::Add>(&middle));
  synic_.SetTarget(2047, Callback::To<&Counter::Add>(&last));
  partition_.SetFlag(0, 1);
  partition_.SetFlag(0, 291);
  partition_.SetFlag(0, 2047);
  partition_.SetFlag(0, 0);  // the legacy flag
  partition_.SetFlag(0, 7);  // nobody's
  Run();
  EXPECT_EQ(first.calls, 1);
  EXPECT_EQ(middle.calls, 1);
  EXPECT_EQ(last.calls, 1);
  EXPECT_EQ(synic_.counters().unknown_flags, 1u);
  // All were cleared: an interrupt more finds nothing.
  synic_.Poll();
  EXPECT_EQ(synic_.counters().spurious, 1u);
  synic_.SetTarget(1, {});
  partition_.SetFlag(0, 1);
  Run();
  EXPECT_EQ(first.calls, 1);
}

TEST_F(SynicVpTest, TheFlagIsClearBeforeTheTargetLooks) {
  struct Channel {
    void OnSignal() {
      if (++calls == 1) partition.SetFlag(0, 5);  // the host signals while we drain
    }
    FakePartition& partition;
    int calls = 0;
  } channel{partition_};
  Enable();
  synic_.SetTarget(5, Callback::To<&Channel::OnSignal>(&channel));
  partition_.SetFlag(0, 5);
  Run();
  EXPECT_EQ(channel.calls, 2);
}

TEST_F(SynicVpTest, ATargetMayShutItDown) {
  struct Stop {
    void Now() { synic.Disable(); }
    SynicVp& synic;
  } stop{synic_};
  Enable();
  synic_.SetTarget(5, Callback::To<&Stop::Now>(&stop));
  partition_.SetFlag(0, 5);
  partition_.SetFlag(0, 6);
  Run();
  EXPECT_FALSE(synic_.enabled());
  EXPECT_EQ(pages_.allocated(), 0u);
}

// ---- The hypervisor ----

TEST_F(SynicVpTest, DetectsItByMoreThanItsName) {
  absl::StatusOr<HypervisorInfo> info = DetectHypervisor(partition_);
  ASSERT_TRUE(info.ok());
  EXPECT_TRUE(info->direct_timers);
  EXPECT_TRUE(info->timers);
  EXPECT_FALSE(info->auto_eoi_allowed);
  auto refused = [&](uint32_t leaf, CpuidResult result) {
    const CpuidResult good = std::exchange(partition_.cpuid[leaf], result);
    EXPECT_EQ(DetectHypervisor(partition_).status().code(), absl::StatusCode::kUnavailable);
    partition_.cpuid[leaf] = good;
  };
  refused(kCpuidLeafProcessor, {});
  CpuidResult vendor = partition_.cpuid[kCpuidLeafVendor];
  refused(kCpuidLeafVendor, {.eax = vendor.eax, .ebx = 0x4b4d564b});  // "KVMK"
  vendor.eax = 0x40000004;
  refused(kCpuidLeafVendor, vendor);
  vendor.eax = 0x40010000;
  refused(kCpuidLeafVendor, vendor);
  const uint32_t eax = partition_.cpuid[kCpuidLeafFeatures].eax;
  for (uint32_t bit : {2, 5, 6}) refused(kCpuidLeafFeatures, {.eax = eax & ~(1u << bit)});
  partition_.cpuid[kCpuidLeafFeatures].eax = eax;
  EXPECT_TRUE(DetectHypervisor(partition_).ok());
}

TEST_F(SynicVpTest, HypercallPageNeedsTheOsIdFirstAndGoesLast) {
  HypercallPage page(partition_);
  ASSERT_TRUE(page.Enable(pages_, 0x8100000601000000).ok());
  using Write = FakePartition::Write;
  EXPECT_EQ(partition_.writes, (std::vector<Write>{{0, kRegGuestOsId, 0x8100000601000000},
                                                   {0, kRegHypercall, 0x1001}}));
  partition_.writes.clear();
  page.Disable();
  EXPECT_EQ(partition_.writes, (std::vector<Write>{{0, kRegGuestOsId, 0}, {0, kRegHypercall, 0}}));
  EXPECT_EQ(pages_.allocated(), 0u);
}

TEST_F(SynicVpTest, AHypercallPageThatStaysEnabledIsLeaked) {
  HypercallPage page(partition_);
  ASSERT_TRUE(page.Enable(pages_, 1).ok());
  partition_.failing_registers.insert(kRegHypercall);
  page.Disable();
  EXPECT_EQ(pages_.leaked(), 1u);
}

// ---- Timers ----

TEST_F(SynicVpTest, ADirectTimerIsProgrammedAsLinuxDoes) {
  Enable();
  Counter ticks;
  SyntheticTimer timer(partition_, synic_, {}, Callback::To<&Counter::Add>(&ticks));
  EXPECT_EQ(timer.Arm(5).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(timer.Start().ok());
  EXPECT_EQ(partition_.reg(0, kRegStimer0Config), 0x1ED9u);
  EXPECT_EQ(partition_.reg(0, kRegStimer0Count), 0u);
  ASSERT_TRUE(timer.Arm(*timer.ReferenceNow() + 500).ok());
  EXPECT_EQ(partition_.reg(0, kRegStimer0Count), 1500u);
  partition_.Raise(0, 0xED);  // of an earlier deadline
  Run();
  EXPECT_EQ(ticks.calls, 0);
  partition_.reference_time = 1500;
  partition_.Raise(0, 0xED);
  Run();
  EXPECT_EQ(ticks.calls, 1);
  partition_.Raise(0, 0xED);  // spurious
  Run();
  EXPECT_EQ(ticks.calls, 1);
  EXPECT_FALSE(timer.armed());
  timer.Stop();
  EXPECT_EQ(partition_.reg(0, kRegStimer0Config), 0u);
  EXPECT_FALSE(partition_.connected(0, 0xED));
}

TEST_F(SynicVpTest, AMessageTimerComesThroughTheSlot) {
  Enable();
  Counter ticks;
  SyntheticTimer timer(partition_, synic_, {.mode = SyntheticTimer::Mode::kMessage},
                       Callback::To<&Counter::Add>(&ticks));
  ASSERT_TRUE(timer.Start().ok());
  EXPECT_EQ(partition_.reg(0, kRegStimer0Config), 0x20009u);
  ASSERT_TRUE(timer.Arm(0).ok());  // in the past; 0 would disarm
  EXPECT_EQ(partition_.reg(0, kRegStimer0Count), 1u);
  partition_.Queue(0,
                   FromHex("00 00 00 00 00 00 00 00 00 90 2f a4 12 00 00 00 40 96 2f a4 12 00 "
                           "00 00"),
                   kMessageTypeTimer);
  Run();
  EXPECT_EQ(ticks.calls, 1);
  EXPECT_TRUE(messages_.empty());
  ASSERT_TRUE(timer.Arm(2000).ok());
  timer.Disarm();
  EXPECT_EQ(partition_.reg(0, kRegStimer0Count), 0u);
  partition_.reference_time = 3000;
  partition_.Queue(0, std::vector<std::byte>(24), kMessageTypeTimer);
  Run();
  EXPECT_EQ(ticks.calls, 1);
}

}  // namespace
}  // namespace vmbuskit
