#include "platform/timer_wheel.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

#include "gtest/gtest.h"
#include "platform/executor.h"
#include "platform/random.h"
#include "platform/time.h"

namespace vmbuskit {
namespace {

constexpr Instant At(int64_t nanoseconds) { return Instant(Duration(nanoseconds)); }

// An executor that has nothing but timers.
class WheelExecutor : public Executor {
 public:
  Instant Now() const override { return now; }
  bool Post(Callback) override { return false; }
  bool IsCurrent() const override { return true; }
  uint32_t cpu() const override { return 0; }

  size_t Advance(Instant to) {
    now = to;
    return wheel.Advance(to);
  }

  TimerWheel wheel;
  Instant now{};

 private:
  void EnqueueEvent(Event&) override {}
  void DetachEvent(Event&) override {}
  void ArmTimer(Timer& timer) override { wheel.Arm(timer); }
  void DisarmTimer(Timer& timer) override { wheel.Disarm(timer); }
  void AddPoller(Poller&) override {}
  void RemovePoller(Poller&) override {}
};

// A timer that notes when it fired, and then does what a test wants.
class Recorder {
 public:
  Recorder(WheelExecutor& executor, std::vector<int>& order, int id)
      : executor_(executor), order_(order), id_(id) {}

  void Fire() {
    order_.push_back(id_);
    ++fired;
    fired_at = executor_.now;
    if (rearm_at != kInfiniteFuture) timer.Arm(rearm_at);
    if (disarm != nullptr) disarm->timer.Disarm();
  }

 private:
  WheelExecutor& executor_;
  std::vector<int>& order_;
  const int id_;

 public:
  int fired = 0;
  Instant fired_at{};
  Instant rearm_at = kInfiniteFuture;
  Recorder* disarm = nullptr;
  Timer timer{executor_, Callback::To<&Recorder::Fire>(this)};
};

class TimerWheelTest : public testing::Test {
 protected:
  Recorder& NewTimer() {
    timers_.emplace_back(executor_, order_, static_cast<int>(timers_.size()));
    return timers_.back();
  }
  TimerWheel& wheel() { return executor_.wheel; }

  WheelExecutor executor_;
  std::vector<int> order_;
  std::deque<Recorder> timers_;
};

TEST_F(TimerWheelTest, EmptyWheelHasNoDeadline) {
  EXPECT_EQ(wheel().NextDeadline(), kInfiniteFuture);
  EXPECT_EQ(executor_.Advance(At(1'000'000'000'000)), 0u);
  EXPECT_TRUE(wheel().empty());
}

TEST_F(TimerWheelTest, FiresAtTheDeadlineAndNotANanosecondBefore) {
  Recorder& recorder = NewTimer();
  recorder.timer.Arm(At(60'000'000'007));
  EXPECT_EQ(wheel().NextDeadline(), At(60'000'000'007));
  EXPECT_EQ(executor_.Advance(At(60'000'000'006)), 0u);
  EXPECT_TRUE(recorder.timer.armed());
  EXPECT_EQ(executor_.Advance(At(60'000'000'007)), 1u);
  EXPECT_EQ(recorder.fired, 1);
  EXPECT_FALSE(recorder.timer.armed());
  EXPECT_TRUE(wheel().empty());
  EXPECT_EQ(wheel().NextDeadline(), kInfiniteFuture);
}

TEST_F(TimerWheelTest, OneLongAdvanceFiresInDeadlineOrder) {
  const std::vector<int64_t> deadlines = {5'000'000'000, 1, 64, 63, 4096, 4095, 1'000'000, 262'144};
  for (int64_t deadline : deadlines) NewTimer().timer.Arm(At(deadline));
  EXPECT_EQ(executor_.Advance(At(10'000'000'000)), deadlines.size());
  EXPECT_EQ(order_, (std::vector<int>{1, 3, 2, 5, 4, 7, 6, 0}));
}

TEST_F(TimerWheelTest, EqualDeadlinesFireInTheOrderTheyWereArmed) {
  NewTimer().timer.Arm(At(1'000'000));  // from far away: on a high level
  executor_.Advance(At(999'000));
  NewTimer().timer.Arm(At(1'000'000));
  executor_.Advance(At(999'990));
  NewTimer().timer.Arm(At(1'000'000));  // from near: on the lowest
  EXPECT_EQ(executor_.Advance(At(1'000'000)), 3u);
  EXPECT_EQ(order_, (std::vector<int>{0, 1, 2}));
}

TEST_F(TimerWheelTest, PastDeadlineIsDueAtOnce) {
  executor_.Advance(At(1'000'000));
  NewTimer().timer.Arm(At(5));
  NewTimer().timer.Arm(At(-7));
  EXPECT_LE(wheel().NextDeadline(), At(1'000'000));
  EXPECT_EQ(executor_.Advance(At(1'000'000)), 2u);
}

TEST_F(TimerWheelTest, FarthestDeadlineIsKept) {
  const Instant last = kInfiniteFuture - Duration(1);
  Recorder& recorder = NewTimer();
  recorder.timer.Arm(last);
  EXPECT_EQ(wheel().NextDeadline(), last);
  EXPECT_EQ(executor_.Advance(last - Duration(1)), 0u);
  EXPECT_EQ(wheel().NextDeadline(), last);
  EXPECT_EQ(executor_.Advance(last), 1u);
  recorder.timer.Arm(kInfiniteFuture);
  EXPECT_FALSE(recorder.timer.armed());
}

TEST_F(TimerWheelTest, DisarmMovesTheNextDeadlineBack) {
  Recorder& early = NewTimer();
  Recorder& late = NewTimer();
  early.timer.Arm(At(1'000));
  late.timer.Arm(At(70'000'000'000));
  EXPECT_EQ(wheel().NextDeadline(), At(1'000));
  early.timer.Disarm();
  EXPECT_EQ(wheel().NextDeadline(), At(70'000'000'000));
  late.timer.Disarm();
  EXPECT_EQ(wheel().NextDeadline(), kInfiniteFuture);
  EXPECT_EQ(executor_.Advance(At(80'000'000'000)), 0u);
  EXPECT_TRUE(order_.empty());
}

TEST_F(TimerWheelTest, ArmingAgainReplacesTheDeadline) {
  Recorder& recorder = NewTimer();
  recorder.timer.Arm(At(1'000));
  recorder.timer.Arm(At(2'000));
  EXPECT_EQ(executor_.Advance(At(1'999)), 0u);
  EXPECT_EQ(executor_.Advance(At(2'000)), 1u);
  EXPECT_EQ(recorder.fired, 1);
}

TEST_F(TimerWheelTest, RearmedInThePastFiresInTheNextCallOnly) {
  Recorder& recorder = NewTimer();
  recorder.rearm_at = At(10);
  recorder.timer.Arm(At(10));
  EXPECT_EQ(executor_.Advance(At(1'000)), 1u);
  EXPECT_EQ(recorder.fired, 1);
  EXPECT_TRUE(recorder.timer.armed());
  EXPECT_LE(wheel().NextDeadline(), At(1'000));
  EXPECT_EQ(executor_.Advance(At(1'000)), 1u);
  EXPECT_EQ(recorder.fired, 2);
}

TEST_F(TimerWheelTest, HandlerDisarmsAnotherThatWasDueToo) {
  Recorder& first = NewTimer();
  Recorder& second = NewTimer();
  first.disarm = &second;
  first.timer.Arm(At(100));
  second.timer.Arm(At(101));
  EXPECT_EQ(executor_.Advance(At(200)), 1u);
  EXPECT_EQ(second.fired, 0);
  EXPECT_FALSE(second.timer.armed());
  EXPECT_TRUE(wheel().empty());
}

TEST_F(TimerWheelTest, ExpiredTimersAreTakenOneByOne) {
  Recorder& first = NewTimer();
  Recorder& second = NewTimer();
  second.timer.Arm(At(20));
  first.timer.Arm(At(10));
  wheel().Expire(At(30));
  EXPECT_EQ(wheel().NextDeadline(), At(30));
  EXPECT_EQ(wheel().TakeExpired(), &first.timer);
  EXPECT_EQ(wheel().TakeExpired(), &second.timer);
  EXPECT_EQ(wheel().TakeExpired(), nullptr);
}

TEST_F(TimerWheelTest, ManyTimersInOneSlotGiveALowerBound) {
  const int64_t base = int64_t{3} << 36;
  for (size_t i = 0; i < 2 * TimerWheel::kScanMax; ++i) {
    NewTimer().timer.Arm(At(base + 100 + static_cast<int64_t>(i)));
  }
  NewTimer().timer.Arm(At(5));
  timers_.back().timer.Disarm();  // makes the wheel look again
  EXPECT_EQ(wheel().NextDeadline(), At(base));
  EXPECT_EQ(executor_.Advance(At(base)), 0u);
  EXPECT_EQ(executor_.Advance(At(base + 100)), 1u);
  EXPECT_EQ(executor_.Advance(At(base + 1000)), 2 * TimerWheel::kScanMax - 1);
}

// Against a plain list: random arms, disarms and advances over distances of every magnitude.
TEST_F(TimerWheelTest, AgreesWithASortedList) {
  Random random(2024);
  for (int i = 0; i < 50; ++i) NewTimer();
  for (int round = 0; round < 20'000; ++round) {
    Recorder& recorder = timers_[random.Below(timers_.size())];
    const int64_t distance = static_cast<int64_t>(random.Next() >> (24 + random.Below(40)));
    if (random.OneIn(4)) {
      recorder.timer.Disarm();
    } else {
      recorder.timer.Arm(executor_.now + Duration(distance));
    }
    std::vector<std::pair<Instant, int>> expected;
    for (size_t i = 0; i < timers_.size(); ++i) {
      if (timers_[i].timer.armed()) expected.emplace_back(timers_[i].timer.deadline(), i);
    }
    std::sort(expected.begin(), expected.end());
    const Instant next = expected.empty() ? kInfiniteFuture : expected[0].first;
    ASSERT_LE(wheel().NextDeadline(), next);
    if (expected.size() <= TimerWheel::kScanMax) {
      ASSERT_EQ(wheel().NextDeadline(), next);
    }
    if (!random.OneIn(3)) continue;
    const Instant now = executor_.now + Duration(random.Next() >> (24 + random.Below(40)));
    std::erase_if(expected, [now](const auto& entry) { return entry.first > now; });
    order_.clear();
    ASSERT_EQ(executor_.Advance(now), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      // Ties are ordered by arming, which the list does not know.
      ASSERT_EQ(timers_[order_[i]].timer.deadline(), expected[i].first);
    }
  }
}

}  // namespace
}  // namespace vmbuskit
