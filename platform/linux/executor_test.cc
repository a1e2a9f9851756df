#include "platform/linux/executor.h"

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "platform/executor_contract.h"

namespace vmbuskit {
namespace {

using Mode = LinuxExecutor::Mode;

std::unique_ptr<LinuxExecutor> NewExecutor(Mode mode) {
  return LinuxExecutor::Create({.mode = mode, .post_capacity = kContractPostCapacity}).value();
}

// Runs the executor on the test's own thread.
template <Mode kMode>
class LinuxHarness {
 public:
  Executor& executor() { return *executor_; }
  bool RunUntil(std::function<bool()> done) {
    bool too_late = false;
    Handler give_up([&] { too_late = true; });
    Timer deadline(*executor_, give_up.callback());
    deadline.Arm(executor_->Now() + std::chrono::seconds(60));
    while (!done() && !too_late) executor_->RunOnce(/*may_sleep=*/true);
    return !too_late;
  }
  void RunPending() {
    // A poller that is always due does not end this.
    for (int turn = 0; turn < 10 && executor_->RunOnce(); ++turn) {
    }
  }

 private:
  std::unique_ptr<LinuxExecutor> executor_ = NewExecutor(kMode);
};

using Harnesses = testing::Types<LinuxHarness<Mode::kSleep>, LinuxHarness<Mode::kPoll>>;
INSTANTIATE_TYPED_TEST_SUITE_P(Linux, ExecutorContract, Harnesses);

TEST(LinuxExecutor, CreateNamesTheOptionThatIsWrong) {
  const auto executor = LinuxExecutor::Create({.cpu = 3, .post_capacity = 0});
  EXPECT_EQ(executor.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(executor.status().message(),
            "executor of cpu 3: post_capacity is 0, fd_poll_turns is 64, both must be at least 1");
}

TEST(LinuxExecutor, AllWorkOfOneTurnSeesTheSameTime) {
  auto executor = NewExecutor(Mode::kSleep);
  Instant in_event{};
  Instant in_post{};
  Handler event_handler([&] { in_event = executor->Now(); });
  Handler post_handler([&] { in_post = executor->Now(); });
  Event event(*executor, event_handler.callback());
  event.Signal();
  ASSERT_TRUE(executor->Post(post_handler.callback()));
  EXPECT_TRUE(executor->RunOnce());
  EXPECT_EQ(in_event, in_post);
  EXPECT_GE(executor->Now(), in_event);
}

TEST(LinuxExecutor, TurnHandlesWhatWasPendingAtItsBeginning) {
  auto executor = NewExecutor(Mode::kSleep);
  Event* self = nullptr;
  Handler again([&] { self->Signal(); });
  Event event(*executor, again.callback());
  self = &event;
  event.Signal();
  for (int turn = 1; turn <= 5; ++turn) {
    EXPECT_TRUE(executor->RunOnce(/*may_sleep=*/true));  // never sleeps with something pending
    EXPECT_EQ(again.runs, turn);
  }
  EXPECT_EQ(executor->counters().sleeps, 0u);
  EXPECT_EQ(executor->counters().events, 5u);
}

TEST(LinuxExecutor, CancelInAHandlerDoesNotPullLaterSignalsIntoTheTurn) {
  auto executor = NewExecutor(Mode::kSleep);
  Event* self = nullptr;
  Event* other = nullptr;
  Handler again([&] {
    self->Signal();
    other->Signal();
    other->Cancel();
  });
  Handler never([] {});
  Event event(*executor, again.callback());
  Event cancelled(*executor, never.callback());
  self = &event;
  other = &cancelled;
  event.Signal();
  for (int turn = 1; turn <= 3; ++turn) {
    executor->RunOnce();
    EXPECT_EQ(again.runs, turn);
  }
  EXPECT_EQ(never.runs, 0);
}

TEST(LinuxExecutor, StopRunsWhatIsPendingButNoTimer) {
  auto executor = NewExecutor(Mode::kSleep);
  Handler never([] {});
  Timer timer(*executor, never.callback());
  Handler second([] {});
  Handler first([&] { EXPECT_TRUE(executor->Post(second.callback())); });
  Handler signalled([] {});
  Event event(*executor, signalled.callback());
  timer.Arm(executor->Now());
  event.Signal();
  ASSERT_TRUE(executor->Post(first.callback()));
  executor->Stop();
  executor->Run();
  EXPECT_EQ(first.runs, 1);
  EXPECT_EQ(second.runs, 1);
  EXPECT_EQ(signalled.runs, 1);
  EXPECT_EQ(never.runs, 0);
}

TEST(LinuxExecutor, StopEndsEvenWhenCallsPostThemselvesForEver) {
  auto executor = NewExecutor(Mode::kPoll);
  Handler* self = nullptr;
  Handler again([&] { EXPECT_TRUE(executor->Post(self->callback())); });
  self = &again;
  ASSERT_TRUE(executor->Post(again.callback()));
  executor->Stop();
  executor->Run();
  EXPECT_EQ(again.runs, LinuxExecutor::kStopTurnsMax);
}

TEST(LinuxExecutor, RunsAgainAfterAStop) {
  auto executor = NewExecutor(Mode::kSleep);
  Handler stop([&] { executor->Stop(); });
  for (int round = 1; round <= 3; ++round) {
    ASSERT_TRUE(executor->Post(stop.callback()));
    executor->Run();
    EXPECT_EQ(stop.runs, round);
  }
}

TEST(LinuxExecutor, SleepsUntilTheTimerAndNotLonger) {
  auto executor = NewExecutor(Mode::kSleep);
  Handler tick([] {});
  Timer timer(*executor, tick.callback());
  const Instant deadline = executor->Now() + std::chrono::milliseconds(1);
  timer.Arm(deadline);
  // A turn that finds nothing sleeps to the deadline; the next runs the timer.
  EXPECT_FALSE(executor->RunOnce(/*may_sleep=*/true));
  EXPECT_GE(executor->Now(), deadline);
  EXPECT_TRUE(executor->RunOnce(/*may_sleep=*/true));
  EXPECT_EQ(tick.runs, 1);
  EXPECT_EQ(executor->counters().sleeps, 1u);
  EXPECT_EQ(executor->counters().turns, 2u);
}

TEST(LinuxExecutor, PollingNeverSleeps) {
  auto executor = NewExecutor(Mode::kPoll);
  for (int turn = 0; turn < 5000; ++turn) EXPECT_FALSE(executor->RunOnce(/*may_sleep=*/true));
  EXPECT_EQ(executor->counters().turns, 5000u);
  EXPECT_EQ(executor->counters().sleeps, 0u);
  EXPECT_EQ(executor->mode(), Mode::kPoll);
}

}  // namespace
}  // namespace vmbuskit
