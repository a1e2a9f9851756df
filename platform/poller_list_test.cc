#include "platform/poller_list.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "platform/executor.h"
#include "platform/time.h"

namespace vmbuskit {
namespace {

constexpr Instant At(int64_t nanoseconds) { return Instant(Duration(nanoseconds)); }

// An executor that has nothing but pollers.
class PollingExecutor : public Executor {
 public:
  explicit PollingExecutor(Duration zero_period) : list(zero_period) {}

  Instant Now() const override { return now; }
  bool Post(Callback) override { return false; }
  bool IsCurrent() const override { return true; }
  uint32_t cpu() const override { return 0; }

  size_t RunAt(Instant instant) {
    now = instant;
    return list.RunDue(now);
  }

  PollerList list;
  Instant now{};

 private:
  void EnqueueEvent(Event&) override {}
  void DetachEvent(Event&) override {}
  void ArmTimer(Timer&) override {}
  void DisarmTimer(Timer&) override {}
  void AddPoller(Poller& poller) override { list.Add(poller, now); }
  void RemovePoller(Poller& poller) override { list.Remove(poller); }
};

class PollerListTest : public testing::Test {
 protected:
  // A poller that notes its letter, then does `action`.
  class Noting {
   public:
    Noting(PollerListTest& test, char letter, Duration period, std::function<void()> action = {})
        : poller(test.executor_, Callback::To<&Noting::Run>(this), period),
          test_(test),
          letter_(letter),
          action_(std::move(action)) {
      poller.Start();
    }
    Poller poller;

   private:
    void Run() {
      test_.log_.push_back(letter_);
      if (action_) action_();
    }
    PollerListTest& test_;
    const char letter_;
    const std::function<void()> action_;
  };

  PollerList& list() { return executor_.list; }

  PollingExecutor executor_{Duration::zero()};
  std::string log_;
};

TEST_F(PollerListTest, NoPollersNeverRun) {
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(list().NextRun(), kInfiniteFuture);
  EXPECT_EQ(executor_.RunAt(At(1'000'000)), 0u);
}

TEST_F(PollerListTest, FirstRunIsAtOnceThenPeriodAfterPeriod) {
  executor_.now = At(500);
  Noting a(*this, 'a', Duration(100));
  EXPECT_EQ(list().NextRun(), At(500));
  EXPECT_EQ(executor_.RunAt(At(500)), 1u);
  EXPECT_EQ(list().NextRun(), At(600));
  EXPECT_EQ(executor_.RunAt(At(599)), 0u);
  EXPECT_EQ(executor_.RunAt(At(610)), 1u);
  EXPECT_EQ(list().NextRun(), At(700));  // being a little late does not shift the rest
}

TEST_F(PollerListTest, MissedPeriodsAreSkippedNotMadeUpFor) {
  Noting a(*this, 'a', Duration(100));
  executor_.RunAt(At(0));
  EXPECT_EQ(executor_.RunAt(At(1'050)), 1u);
  EXPECT_EQ(list().NextRun(), At(1'150));
  EXPECT_EQ(executor_.RunAt(At(1'050)), 0u);
}

TEST_F(PollerListTest, PeriodZeroIsAlwaysDue) {
  Noting a(*this, 'a', Duration::zero());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(executor_.RunAt(At(40)), 1u);
  EXPECT_EQ(list().NextRun(), At(40));
}

TEST(PollerListWithZeroPeriod, StandsInForZero) {
  PollingExecutor executor(Duration(7));
  int runs = 0;
  Poller poller(executor, Callback([](void* runs) { ++*static_cast<int*>(runs); }, &runs));
  poller.Start();
  for (int64_t now = 0; now <= 21; ++now) executor.RunAt(At(now));
  EXPECT_EQ(runs, 4);  // at 0, 7, 14 and 21
}

TEST_F(PollerListTest, DifferentPeriodsShareTheList) {
  Noting a(*this, 'a', Duration(2));
  Noting b(*this, 'b', Duration(3));
  for (int64_t now = 0; now <= 6; ++now) executor_.RunAt(At(now));
  EXPECT_EQ(log_, "ababaab");  // a at 0 2 4 6, b at 0 3 6
}

TEST_F(PollerListTest, HandlerStopsItselfTheNextAndThePrevious) {
  std::unique_ptr<Noting> a, b, c, d;
  a = std::make_unique<Noting>(*this, 'a', Duration::zero());
  b = std::make_unique<Noting>(*this, 'b', Duration::zero(), [&] {
    a->poller.Stop();
    b->poller.Stop();
    c->poller.Stop();
  });
  c = std::make_unique<Noting>(*this, 'c', Duration::zero());
  d = std::make_unique<Noting>(*this, 'd', Duration::zero());
  EXPECT_EQ(executor_.RunAt(At(1)), 3u);
  EXPECT_EQ(log_, "abd");
  EXPECT_EQ(executor_.RunAt(At(2)), 1u);
  EXPECT_EQ(log_, "abdd");
}

TEST_F(PollerListTest, HandlerDestroysItsOwnPoller) {
  std::unique_ptr<Poller> poller;
  struct Owner {
    void Run() { poller.reset(); }
    std::unique_ptr<Poller>& poller;
  } owner{poller};
  poller = std::make_unique<Poller>(executor_, Callback::To<&Owner::Run>(&owner));
  poller->Start();
  EXPECT_EQ(executor_.RunAt(At(1)), 1u);
  EXPECT_TRUE(list().empty());
}

TEST_F(PollerListTest, PollersStartedInATurnWaitForTheNext) {
  std::unique_ptr<Noting> b;
  Noting a(*this, 'a', Duration::zero(), [&] {
    if (b == nullptr) b = std::make_unique<Noting>(*this, 'b', Duration::zero());
  });
  EXPECT_EQ(executor_.RunAt(At(1)), 1u);
  EXPECT_EQ(executor_.RunAt(At(1)), 2u);
  EXPECT_EQ(log_, "aab");
}

TEST_F(PollerListTest, StartingAgainMakesItDueAtOnce) {
  Noting a(*this, 'a', Duration(1'000));
  executor_.RunAt(At(0));
  a.poller.Start();  // no effect while started
  EXPECT_EQ(executor_.RunAt(At(10)), 0u);
  a.poller.Stop();
  a.poller.Stop();
  EXPECT_EQ(executor_.RunAt(At(5'000)), 0u);
  a.poller.Start();
  EXPECT_EQ(executor_.RunAt(At(5'000)), 1u);
}

}  // namespace
}  // namespace vmbuskit
