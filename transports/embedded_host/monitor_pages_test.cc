// Monitor pages, and the throttle that watches the signals that come over them and over hypercalls.
#include "transports/embedded_host/monitor_pages.h"

#include <array>
#include <memory>

#include "gtest/gtest.h"
#include "platform/linux/memfd_memory.h"
#include "platform/sim/scheduler.h"
#include "transports/embedded_host/throttle.h"

namespace vmbuskit {
namespace {

constexpr Gpa kParentToChild = 4 * kPageSize;
constexpr Gpa kChildToParent = 5 * kPageSize;

class MonitorPagesTest : public ::testing::Test {
 protected:
  struct Target {
    explicit Target(Executor& executor) : event(executor, Callback::To<&Target::OnSignal>(this)) {}
    void OnSignal() { ++signals; }
    int signals = 0;
    Event event;
  };

  MonitorPagesTest() : memory_(*MemfdMemory::Create({.page_count = 16})) {}

  MonitorPage& page() {
    return *reinterpret_cast<MonitorPage*>(memory_->Translate(kChildToParent, kPageSize)->data());
  }
  void Set(uint8_t id) {
    std::atomic_ref(page().trigger_group[id / 32].pending).fetch_or(1u << id % 32);
  }

  std::unique_ptr<MemfdMemory> memory_;
  SimScheduler sim_{0};
  SimExecutor& host_ = sim_.NewExecutor(0);
  Target first_{host_};
  Target last_{host_};
  MonitorPages monitors_{
      *memory_,
      host_,
      {.busy = std::chrono::microseconds(100), .idle = std::chrono::milliseconds(1)}};
};

TEST_F(MonitorPagesTest, EveryPendingBitSignalsOnceAndIsCleared) {
  monitors_.Connect(0, &first_.event);
  monitors_.Connect(127, &last_.event);
  ASSERT_TRUE(monitors_.Map(kParentToChild, kChildToParent).ok());
  Set(0);
  Set(127);
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(1)).ok());
  EXPECT_EQ(first_.signals, 1);
  EXPECT_EQ(last_.signals, 1);
  EXPECT_EQ(page().trigger_group[0].pending, 0u);
  EXPECT_EQ(page().trigger_group[3].pending, 0u);
  EXPECT_EQ(monitors_.signals(), 2u);
}

TEST_F(MonitorPagesTest, IsPolledEvery100Microseconds) {
  monitors_.Connect(7, &first_.event);
  ASSERT_TRUE(monitors_.Map(kParentToChild, kChildToParent).ok());
  for (int i = 1; i <= 5; ++i) {
    Set(7);
    ASSERT_TRUE(sim_.RunFor(std::chrono::microseconds(100)).ok());
    EXPECT_EQ(first_.signals, i);
  }
}

TEST_F(MonitorPagesTest, IsPolledSeldomWhileTheGuestSetsNothing) {
  monitors_.Connect(7, &first_.event);
  ASSERT_TRUE(monitors_.Map(kParentToChild, kChildToParent).ok());
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(10)).ok());
  const uint64_t before = monitors_.scans();
  ASSERT_TRUE(sim_.RunFor(std::chrono::seconds(1)).ok());
  EXPECT_EQ(monitors_.scans() - before, 1000u);
}

TEST_F(MonitorPagesTest, OneBitMakesItPollOftenAgain) {
  monitors_.Connect(7, &first_.event);
  ASSERT_TRUE(monitors_.Map(kParentToChild, kChildToParent).ok());
  ASSERT_TRUE(sim_.RunFor(std::chrono::seconds(1)).ok());
  Set(7);
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(1)).ok());
  EXPECT_EQ(first_.signals, 1);
  for (int i = 2; i <= 5; ++i) {
    Set(7);
    ASSERT_TRUE(sim_.RunFor(std::chrono::microseconds(100)).ok());
    EXPECT_EQ(first_.signals, i);
  }
}

TEST_F(MonitorPagesTest, ANewTargetIsPolledForOftenAtFirst) {
  monitors_.Connect(7, &first_.event);
  ASSERT_TRUE(monitors_.Map(kParentToChild, kChildToParent).ok());
  ASSERT_TRUE(sim_.RunFor(std::chrono::seconds(1)).ok());
  monitors_.Connect(8, &last_.event);
  Set(8);
  ASSERT_TRUE(sim_.RunFor(std::chrono::microseconds(100)).ok());
  EXPECT_EQ(last_.signals, 1);
}

TEST_F(MonitorPagesTest, BitsWithoutATargetAreCountedAndCleared) {
  ASSERT_TRUE(monitors_.Map(kParentToChild, kChildToParent).ok());
  Set(33);
  monitors_.Poll();
  EXPECT_EQ(monitors_.unconnected(), 1u);
  EXPECT_EQ(page().trigger_group[1].pending, 0u);
}

TEST_F(MonitorPagesTest, UnmappedPagesAreNotTouched) {
  monitors_.Connect(0, &first_.event);
  ASSERT_TRUE(monitors_.Map(kParentToChild, kChildToParent).ok());
  EXPECT_EQ(monitors_.pages(), 2u);
  monitors_.Unmap();
  EXPECT_EQ(monitors_.pages(), 0u);
  Set(0);
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(1)).ok());
  EXPECT_EQ(first_.signals, 0);
  EXPECT_EQ(page().trigger_group[0].pending, 1u);
}

TEST_F(MonitorPagesTest, BadPagesChangeNothing) {
  monitors_.Connect(0, &first_.event);
  ASSERT_TRUE(monitors_.Map(kParentToChild, kChildToParent).ok());
  EXPECT_EQ(monitors_.Map(kParentToChild, kChildToParent + 8).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(monitors_.Map(0, kChildToParent).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(monitors_.Map(kParentToChild, 16 * kPageSize).code(), absl::StatusCode::kOutOfRange);
  Set(0);
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(1)).ok());
  EXPECT_EQ(first_.signals, 1) << "the old pages are still polled";
}

TEST_F(MonitorPagesTest, ADisconnectedTargetGetsNothing) {
  monitors_.Connect(0, &first_.event);
  ASSERT_TRUE(monitors_.Map(kParentToChild, kChildToParent).ok());
  monitors_.Connect(0, nullptr);
  Set(0);
  monitors_.Poll();
  ASSERT_TRUE(sim_.RunUntilIdle().ok());
  EXPECT_EQ(first_.signals, 0);
}

TEST_F(MonitorPagesTest, IsPolledOnlyWhileThereIsATarget) {
  ASSERT_TRUE(monitors_.Map(kParentToChild, kChildToParent).ok());
  Set(0);
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(1)).ok());
  EXPECT_EQ(page().trigger_group[0].pending, 1u);
  EXPECT_EQ(monitors_.unconnected(), 0u);
  monitors_.Connect(0, &first_.event);
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(1)).ok());
  EXPECT_EQ(first_.signals, 1);
  monitors_.Connect(0, &last_.event);
  monitors_.Connect(0, nullptr);
  Set(0);
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(1)).ok());
  EXPECT_EQ(page().trigger_group[0].pending, 1u);
}

constexpr Instant At(int milliseconds) { return Instant(std::chrono::milliseconds(milliseconds)); }

TEST(SignalThrottle, OnlyCountsByDefault) {
  SignalThrottle throttle(ThrottleOptions{});
  for (int i = 0; i < 1000; ++i) throttle.OnSignal(/*needless=*/i % 2 == 0, At(0));
  EXPECT_EQ(throttle.signals(), 1000u);
  EXPECT_EQ(throttle.needless(), 500u);
  EXPECT_FALSE(throttle.Suspended(At(0)));
}

TEST(SignalThrottle, SuspendsWhenTheWindowHoldsTooMany) {
  SignalThrottle throttle({.needless_signals_max = 3,
                           .window = std::chrono::milliseconds(10),
                           .suspension = std::chrono::milliseconds(50)});
  for (int i = 0; i < 3; ++i) throttle.OnSignal(true, At(100));
  EXPECT_FALSE(throttle.Suspended(At(100)));
  throttle.OnSignal(true, At(105));
  EXPECT_TRUE(throttle.Suspended(At(105)));
  EXPECT_TRUE(throttle.Suspended(At(154)));
  EXPECT_FALSE(throttle.Suspended(At(155)));
  EXPECT_EQ(throttle.resume_at(), At(155));
  EXPECT_EQ(throttle.suspensions(), 1u);
}

TEST(SignalThrottle, EachWindowCountsAnew) {
  SignalThrottle throttle(
      {.needless_signals_max = 3, .window = std::chrono::milliseconds(10), .suspension = {}});
  for (int at = 100; at < 200; at += 4) {  // three in each window
    throttle.OnSignal(true, At(at));
  }
  EXPECT_EQ(throttle.suspensions(), 0u);
  EXPECT_EQ(throttle.needless(), 25u);
}

TEST(SignalThrottle, NeededSignalsNeverSuspend) {
  SignalThrottle throttle({.needless_signals_max = 1, .window = std::chrono::seconds(1)});
  for (int i = 0; i < 100; ++i) throttle.OnSignal(false, At(0));
  EXPECT_FALSE(throttle.Suspended(At(0)));
}

}  // namespace
}  // namespace vmbuskit
