// One-shots, gates, sleeps and cancellation scopes, in virtual time.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "framework/task/cancel.h"
#include "framework/task/deadline.h"
#include "framework/task/gate.h"
#include "framework/task/one_shot.h"
#include "framework/task/run_task.h"
#include "framework/task/sleep.h"
#include "framework/task/spawn.h"
#include "framework/task/task.h"
#include "gtest/gtest.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

using std::chrono::seconds;

using Answer = absl::StatusOr<std::unique_ptr<int>>;

class WaitTest : public testing::Test {
 protected:
  // Calls `what` at `instant`.
  void At(Instant instant, std::function<void()> what) {
    auto call = std::make_unique<Call>(cpu, std::move(what));
    call->timer.Arm(instant);
    calls.push_back(std::move(call));
  }

  struct Call {
    Call(Executor& executor, std::function<void()> what)
        : what(std::move(what)), timer(executor, Callback::To<&Call::Run>(this)) {}
    void Run() { what(); }
    std::function<void()> what;
    Timer timer;
  };

  SimScheduler sim{0};
  SimExecutor& cpu = sim.NewExecutor(0);
  const Instant start = sim.Now();
  std::vector<std::unique_ptr<Call>> calls;
};

Task<void> WaitInto(OneShot<std::unique_ptr<int>>& one_shot, Instant deadline,
                    std::optional<Answer>* answer) {
  answer->emplace(co_await one_shot.Wait(deadline));
}

class OneShotTest : public WaitTest {
 protected:
  void Wait(Instant deadline) {
    answer.reset();
    group.Spawn(WaitInto(*one_shot, deadline, &answer));
    ASSERT_TRUE(sim.RunUntilIdle().ok());
  }

  CancelScope scope;
  std::optional<OneShot<std::unique_ptr<int>>> one_shot{std::in_place, cpu, "GPADL_CREATED",
                                                        &scope};
  TaskGroup group{cpu, "waiters"};
  std::optional<Answer> answer;
};

TEST_F(OneShotTest, ValueResumesAtTheNextTurnNotInsideSet) {
  Wait(start + seconds(60));
  EXPECT_FALSE(answer.has_value());
  EXPECT_TRUE(one_shot->Set(std::make_unique<int>(5)));
  EXPECT_FALSE(answer.has_value());
  ASSERT_TRUE(sim.RunUntilIdle().ok());
  ASSERT_TRUE(answer.has_value() && answer->ok());
  EXPECT_EQ(***answer, 5);
  EXPECT_EQ(sim.Now(), start);
}

TEST_F(OneShotTest, ValueSetBeforeTheWaitEndsItAtOnce) {
  EXPECT_TRUE(one_shot->Set(std::make_unique<int>(6)));
  EXPECT_TRUE(one_shot->is_set());
  Wait(start + seconds(60));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(***answer, 6);
}

TEST_F(OneShotTest, OnlyTheFirstAnswerCounts) {
  Wait(start + seconds(60));
  EXPECT_TRUE(one_shot->Set(std::make_unique<int>(1)));
  EXPECT_FALSE(one_shot->Set(std::make_unique<int>(2)));
  EXPECT_FALSE(one_shot->Fail(absl::UnavailableError("too late")));
  scope.Cancel(absl::UnavailableError("much too late"));
  ASSERT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_EQ(***answer, 1);
}

TEST_F(OneShotTest, FailureIsTheStatusGiven) {
  Wait(start + seconds(60));
  EXPECT_TRUE(one_shot->Fail(absl::InternalError("GPADL_CREATED status 0x8000FFFF")));
  ASSERT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_EQ(answer->status(), absl::InternalError("GPADL_CREATED status 0x8000FFFF"));
}

TEST_F(OneShotTest, DeadlineNamesWhatWasWaitedForAndHowLong) {
  Wait(start + seconds(60));
  ASSERT_TRUE(sim.RunFor(seconds(60) - Duration(1)).ok());
  EXPECT_FALSE(answer.has_value());
  ASSERT_TRUE(sim.RunFor(Duration(1)).ok());
  EXPECT_EQ(answer->status(), absl::DeadlineExceededError("waited 60 s for GPADL_CREATED"));
  EXPECT_EQ(group.running(), 0u);
}

TEST_F(OneShotTest, WaitsAgainAfterADeadline) {
  Wait(start + seconds(1));
  ASSERT_TRUE(sim.RunFor(seconds(1)).ok());
  EXPECT_EQ(answer->status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(one_shot->Set(std::make_unique<int>(7)));  // nobody waits: kept
  Wait(start + seconds(2));
  EXPECT_EQ(***answer, 7);
}

// The value comes in the same instant as the deadline: what the executor serves first wins, once.
TEST_F(OneShotTest, ValueJustBeforeTheDeadlineOfTheSameInstantWins) {
  At(start + seconds(60), [&] { EXPECT_TRUE(one_shot->Set(std::make_unique<int>(8))); });
  Wait(start + seconds(60));  // armed later, fires later
  ASSERT_TRUE(sim.RunFor(seconds(61)).ok());
  ASSERT_TRUE(answer.has_value() && answer->ok());
  EXPECT_EQ(***answer, 8);
}

TEST_F(OneShotTest, ValueJustAfterTheDeadlineOfTheSameInstantLoses) {
  Wait(start + seconds(60));
  At(start + seconds(60), [&] { EXPECT_TRUE(one_shot->Set(std::make_unique<int>(8))); });
  ASSERT_TRUE(sim.RunFor(seconds(61)).ok());
  EXPECT_EQ(answer->status(), absl::DeadlineExceededError("waited 60 s for GPADL_CREATED"));
}

TEST_F(OneShotTest, ADeadlineInThePastEndsAtTheNextTurn) {
  Wait(start - seconds(1));
  EXPECT_EQ(answer->status(), absl::DeadlineExceededError("waited 0 ns for GPADL_CREATED"));
}

TEST_F(OneShotTest, WaiterDestroyedWhileSuspendedLeavesNothingBehind) {
  Wait(start + seconds(60));
  group.DestroyAll();
  EXPECT_TRUE(one_shot->Set(std::make_unique<int>(9)));
  ASSERT_TRUE(sim.RunFor(seconds(61)).ok());
  EXPECT_FALSE(answer.has_value());
}

TEST_F(OneShotTest, WaiterDestroyedBetweenValueAndResumption) {
  Wait(start + seconds(60));
  EXPECT_TRUE(one_shot->Set(std::make_unique<int>(9)));
  group.DestroyAll();
  ASSERT_TRUE(sim.RunFor(seconds(61)).ok());
  EXPECT_FALSE(answer.has_value());
}

TEST_F(OneShotTest, ScopeFailsEveryWaitUnderItAndLaterOnesAtOnce) {
  OneShot<void> other(cpu, "OPEN_CHANNEL_RESULT", &scope);
  std::optional<OneShot<void>> gone(std::in_place, cpu, "TORNDOWN", &scope);
  gone.reset();  // what left the scope is not told
  Wait(start + seconds(60));
  scope.Cancel(absl::UnavailableError("channel 5 was rescinded"));
  scope.Cancel(absl::InternalError("the first reason stays"));
  ASSERT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_EQ(answer->status(), absl::UnavailableError("channel 5 was rescinded"));
  EXPECT_TRUE(other.is_set());

  OneShot<void> late(cpu, "GPADL_TORNDOWN", &scope);
  auto wait = [](OneShot<void>& one_shot) -> Task<absl::Status> {
    co_return co_await one_shot.Wait();
  };
  EXPECT_EQ(RunTask(sim, cpu, wait(late)), absl::UnavailableError("channel 5 was rescinded"));
  EXPECT_EQ(RunTask(sim, cpu, wait(other)), absl::UnavailableError("channel 5 was rescinded"));
  EXPECT_EQ(sim.Now(), start);
}

TEST_F(WaitTest, OneShotWithoutAValueIsAnEvent) {
  OneShot<void> event(cpu, "the end");
  At(start + seconds(2), [&] { EXPECT_TRUE(event.Set()); });
  auto wait = [](OneShot<void>& one_shot) -> Task<absl::Status> {
    co_return co_await one_shot.Wait();
  };
  EXPECT_EQ(RunTask(sim, cpu, wait(event)), absl::OkStatus());
  EXPECT_EQ(sim.Now(), start + seconds(2));
}

Task<absl::Status> CloseGate(Gate& gate, Instant deadline) {
  co_return co_await gate.Close(deadline);
}

TEST_F(WaitTest, GateClosesAtOnceWhenNobodyIsInside) {
  Gate gate(cpu, "storvsc");
  EXPECT_TRUE(gate.Enter());  // and leaves
  EXPECT_EQ(RunTask(sim, cpu, CloseGate(gate, start + seconds(60))), absl::OkStatus());
  EXPECT_TRUE(gate.closed());
  EXPECT_FALSE(gate.Enter());
  EXPECT_EQ(sim.Now(), start);
}

TEST_F(WaitTest, GateWaitsForThoseInside) {
  Gate gate(cpu, "storvsc");
  Gate::Holder first = gate.Enter();
  Gate::Holder second = gate.Enter();
  Gate::Holder moved = std::move(second);
  EXPECT_EQ(gate.holders(), 2u);
  At(start + seconds(1), [&] { first.Leave(); });
  At(start + seconds(2), [&] { moved = Gate::Holder(); });
  EXPECT_EQ(RunTask(sim, cpu, CloseGate(gate, start + seconds(60))), absl::OkStatus());
  EXPECT_EQ(sim.Now(), start + seconds(2));
  EXPECT_EQ(gate.holders(), 0u);
}

TEST_F(WaitTest, GateSaysHowManyAreStillInsideAndCloses) {
  Gate gate(cpu, "storvsc");
  Gate::Holder slow = gate.Enter();
  EXPECT_EQ(RunTask(sim, cpu, CloseGate(gate, start + seconds(5))),
            absl::DeadlineExceededError("waited 5 s for storvsc to drain, 1 still inside"));
  EXPECT_FALSE(gate.Enter());
  slow.Leave();
  EXPECT_EQ(RunTask(sim, cpu, CloseGate(gate, start + seconds(6))), absl::OkStatus());
}

TEST_F(WaitTest, SeveralMayAwaitOneGate) {
  Gate gate(cpu, "storvsc");
  Gate::Holder holder = gate.Enter();
  TaskGroup group(cpu, "closers");
  std::optional<absl::Status> results[2];
  for (auto& result : results) {
    group.Spawn(KeepResult(CloseGate(gate, start + seconds(60)), &result));
  }
  ASSERT_TRUE(sim.RunUntilIdle().ok());
  holder.Leave();
  EXPECT_FALSE(results[0].has_value());
  ASSERT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_EQ(results[0], absl::OkStatus());
  EXPECT_EQ(results[1], absl::OkStatus());
}

Task<absl::Status> SleepUnder(Executor& executor, Instant instant, CancelScope& scope) {
  co_return co_await SleepUntilCancelled(executor, instant, scope);
}

TEST_F(WaitTest, SleepEndsAtItsInstant) {
  CancelScope scope;
  EXPECT_EQ(RunTask(sim, cpu, SleepUnder(cpu, start + seconds(3), scope)), absl::OkStatus());
  EXPECT_EQ(sim.Now(), start + seconds(3));
}

TEST_F(WaitTest, SleepEndsEarlyWhenCancelled) {
  CancelScope scope;
  At(start + seconds(1), [&] { scope.Cancel(absl::CancelledError("device stops")); });
  EXPECT_EQ(RunTask(sim, cpu, SleepUnder(cpu, start + seconds(3), scope)),
            absl::CancelledError("device stops"));
  EXPECT_EQ(sim.Now(), start + seconds(1));
  // Cancelled already: does not sleep at all.
  EXPECT_EQ(RunTask(sim, cpu, SleepUnder(cpu, start + seconds(3), scope)),
            absl::CancelledError("device stops"));
  EXPECT_EQ(sim.Now(), start + seconds(1));
}

}  // namespace
}  // namespace vmbuskit
