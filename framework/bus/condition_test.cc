#include "framework/bus/condition.h"

#include <string>
#include <vector>

#include "framework/task/run_task.h"
#include "framework/task/spawn.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class ConditionTest : public testing::Test {
 protected:
  Task<void> WaitFor(std::string name, Instant deadline = kInfiniteFuture) {
    const bool in_time = co_await changed_.Wait(deadline);
    lines_.push_back(name + (in_time ? " woke" : " was late"));
  }
  void Settle() { ASSERT_TRUE(sim_.RunUntilIdle().ok()); }

  SimScheduler sim_{0};
  SimExecutor& executor_ = sim_.NewExecutor(0);
  Condition changed_{executor_};
  TaskGroup tasks_{executor_, "waiters"};
  std::vector<std::string> lines_;
};

TEST_F(ConditionTest, WakesEveryoneButNobodyInside) {
  tasks_.Spawn(WaitFor("a"));
  tasks_.Spawn(WaitFor("b"));
  Settle();
  {
    const SimTurn turn = sim_.Enter(executor_);
    changed_.NotifyAll();
    EXPECT_THAT(lines_, IsEmpty());
  }
  Settle();
  EXPECT_THAT(lines_, ElementsAre("a woke", "b woke"));
}

TEST_F(ConditionTest, NobodyWaitsNothingHappens) {
  changed_.NotifyAll();
  tasks_.Spawn(WaitFor("late comer"));
  Settle();
  EXPECT_THAT(lines_, IsEmpty());  // a condition remembers nothing
  changed_.NotifyAll();
  Settle();
  EXPECT_THAT(lines_, ElementsAre("late comer woke"));
}

TEST_F(ConditionTest, ADeadlineEndsTheWaitOnce) {
  tasks_.Spawn(WaitFor("a", sim_.Now() + seconds(5)));
  tasks_.Spawn(WaitFor("b", sim_.Now() + seconds(7)));
  ASSERT_TRUE(sim_.RunFor(seconds(6)).ok());
  EXPECT_THAT(lines_, ElementsAre("a was late"));
  changed_.NotifyAll();
  ASSERT_TRUE(sim_.RunFor(seconds(6)).ok());
  EXPECT_THAT(lines_, ElementsAre("a was late", "b woke"));
}

TEST_F(ConditionTest, AWaitingCoroutineMayBeDestroyed) {
  tasks_.Spawn(WaitFor("a", sim_.Now() + seconds(5)));
  tasks_.Spawn(WaitFor("b"));
  Settle();
  changed_.NotifyAll();  // also one that was woken and did not run yet
  const SimTurn turn = sim_.Enter(executor_);
  tasks_.DestroyAll();
  EXPECT_THAT(lines_, IsEmpty());
}

}  // namespace
}  // namespace vmbuskit
