// Tasks, groups and executor switches, in virtual time.
#include "framework/task/task.h"

#include <memory>
#include <string>
#include <vector>

#include "framework/task/deadline.h"
#include "framework/task/run_task.h"
#include "framework/task/sleep.h"
#include "framework/task/spawn.h"
#include "framework/task/switch_to.h"
#include "gtest/gtest.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Counts live objects: a frame that was freed has freed what it held.
class Token {
 public:
  explicit Token(int* live) : live_(live) { ++*live_; }
  Token(Token&& other) noexcept : live_(std::exchange(other.live_, nullptr)) {}
  Token(const Token&) = delete;
  ~Token() {
    if (live_ != nullptr) --*live_;
  }

 private:
  int* live_;
};

class TaskTest : public testing::Test {
 protected:
  SimScheduler sim{0};
  SimExecutor& cpu0 = sim.NewExecutor(0);
  SimExecutor& cpu1 = sim.NewExecutor(1);
  std::vector<std::string> log;
  int live = 0;
};

Task<int> Double(int value) { co_return 2 * value; }

Task<std::unique_ptr<int>> SumOfDoubles(int a, int b) {
  const int first = co_await Double(a);
  const int second = co_await Double(b);
  co_return std::make_unique<int>(first + second);
}

TEST_F(TaskTest, AwaitsOthersAndReturnsMoveOnlyValues) {
  std::optional<std::unique_ptr<int>> sum = RunTask(sim, cpu0, SumOfDoubles(3, 4));
  ASSERT_TRUE(sum.has_value());
  EXPECT_EQ(**sum, 14);
}

Task<void> Note(std::vector<std::string>& log, std::string text) {
  log.push_back(std::move(text));
  co_return;
}

TEST_F(TaskTest, IsLazyAndFreedUnstarted) {
  {
    Task<void> task = Note(log, "ran");
    Task<void> moved = std::move(task);
    moved = Note(log, "ran too");
  }
  ASSERT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_TRUE(log.empty());
}

Task<int> Deep(int depth) {
  if (depth == 0) co_return 0;
  const int below = co_await Deep(depth - 1);
  co_return below + 1;
}

TEST_F(TaskTest, NestsDeeply) { EXPECT_EQ(RunTask(sim, cpu0, Deep(1000)), 1000); }

Task<void> SleepHolding(Executor& executor, Token, Duration duration) {
  co_await SleepUntil(executor, executor.Now() + duration);
}

Task<void> SleepInside(Executor& executor, int* live, Duration duration) {
  Token outer(live);
  co_await SleepHolding(executor, Token(live), duration);
}

TEST_F(TaskTest, SpawnStartsAtTheNextTurnAndFreesTheFrame) {
  Spawn(cpu0, Note(log, "spawned"));
  EXPECT_TRUE(log.empty());
  ASSERT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_EQ(log, std::vector<std::string>{"spawned"});

  Spawn(cpu0, SleepInside(cpu0, &live, seconds(1)));
  ASSERT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_EQ(live, 2);
  ASSERT_TRUE(sim.RunFor(seconds(1)).ok());
  EXPECT_EQ(live, 0);
}

TEST_F(TaskTest, DestroyedWhileSuspendedFreesAllFramesAndNeverResumes) {
  TaskGroup group(cpu0, "sleepers");
  group.Spawn(SleepInside(cpu0, &live, seconds(1)));
  group.Spawn(Note(log, "never"));
  group.DestroyAll();  // before the first turn
  EXPECT_EQ(group.running(), 0u);

  group.Spawn(SleepInside(cpu0, &live, seconds(1)));
  ASSERT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_EQ(live, 2);
  group.DestroyAll();
  EXPECT_EQ(live, 0);
  ASSERT_TRUE(sim.RunFor(seconds(2)).ok());
  EXPECT_TRUE(log.empty());
}

TEST_F(TaskTest, JoinWaitsForTheLastOfTheGroup) {
  TaskGroup group(cpu0, "sleepers");
  for (int i = 1; i <= 3; ++i) group.Spawn(SleepInside(cpu0, &live, seconds(i)));
  EXPECT_EQ(group.running(), 3u);
  const Instant start = sim.Now();
  auto join = [](TaskGroup& group, Instant deadline) -> Task<absl::Status> {
    co_return co_await group.Join(deadline);
  };
  EXPECT_EQ(RunTask(sim, cpu0, join(group, start + seconds(60))), absl::OkStatus());
  EXPECT_EQ(sim.Now(), start + seconds(3));
  EXPECT_EQ(live, 0);
  // Nothing runs: at once.
  EXPECT_EQ(RunTask(sim, cpu0, join(group, start + seconds(60))), absl::OkStatus());
  EXPECT_EQ(sim.Now(), start + seconds(3));
}

TEST_F(TaskTest, JoinNamesWhatStillRuns) {
  TaskGroup group(cpu0, "probes");
  group.Spawn(SleepInside(cpu0, &live, seconds(100)));
  group.Spawn(SleepInside(cpu0, &live, seconds(200)));
  auto join = [](TaskGroup& group, Instant deadline) -> Task<absl::Status> {
    co_return co_await group.Join(deadline);
  };
  EXPECT_EQ(RunTask(sim, cpu0, join(group, sim.Now() + milliseconds(1500))),
            absl::DeadlineExceededError("waited 1.5 s for probes to end, 2 still running"));
  group.DestroyAll();
}

Task<void> Travel(Executor& home, Executor& away, std::vector<std::string>& log, Token) {
  auto where = [&] { return home.IsCurrent() ? "home" : away.IsCurrent() ? "away" : "nowhere"; };
  log.push_back(where());
  co_await SwitchTo(home);  // already there: goes on at once
  log.push_back(where());
  co_await SwitchTo(away);
  log.push_back(where());
}

TEST_F(TaskTest, SwitchesToAnotherExecutorAndEndsAtHome) {
  TaskGroup group(cpu0, "travellers");
  group.Spawn(Travel(cpu0, cpu1, log, Token(&live)));
  // One turn at home, one away, one at home again to be counted as ended.
  const uint64_t before = sim.steps();
  ASSERT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_EQ(sim.steps() - before, 3u);
  EXPECT_EQ(log, (std::vector<std::string>{"home", "home", "away"}));
  EXPECT_EQ(group.running(), 0u);
  EXPECT_EQ(live, 0);
}

Task<void> Steps(Executor& executor, std::vector<std::string>& log, std::string name) {
  for (int i = 0; i < 2; ++i) {
    log.push_back(name);
    co_await NextTurn(executor);
  }
}

TEST_F(TaskTest, NextTurnLetsOthersRun) {
  TaskGroup group(cpu0, "walkers");
  group.Spawn(Steps(cpu0, log, "a"));
  group.Spawn(Steps(cpu0, log, "b"));
  ASSERT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_EQ(log, (std::vector<std::string>{"a", "b", "a", "b"}));
}

TEST_F(TaskTest, RunTaskGivesUpAtItsLimit) {
  EXPECT_FALSE(RunTask(sim, cpu0, SleepInside(cpu0, &live, seconds(10)), seconds(9)));
  EXPECT_EQ(live, 0);
  EXPECT_TRUE(RunTask(sim, cpu0, SleepInside(cpu0, &live, seconds(10)), seconds(10)));
}

TEST(Deadline, IsSixtySecondsUnlessSaidOtherwise) {
  SimScheduler sim(0);
  SimExecutor& cpu = sim.NewExecutor(0);
  EXPECT_EQ(DeadlineIn(cpu), sim.Now() + seconds(60));
  EXPECT_EQ(DeadlineIn(cpu, milliseconds(5)), sim.Now() + milliseconds(5));
}

TEST(Deadline, DurationsReadLikeText) {
  EXPECT_EQ(FormatDuration(seconds(60)), "60 s");
  EXPECT_EQ(FormatDuration(std::chrono::microseconds(1500)), "1.5 ms");
  EXPECT_EQ(FormatDuration(std::chrono::microseconds(2)), "2 us");
  EXPECT_EQ(FormatDuration(std::chrono::nanoseconds(250)), "250 ns");
  EXPECT_EQ(FormatDuration(Duration::zero()), "0 ns");
}

}  // namespace
}  // namespace vmbuskit
