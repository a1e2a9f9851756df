// What every executor must do, as a typed test suite. An implementation instantiates it with a harness:
//
//   struct Harness {
//     Executor& executor();                                  // post_capacity kContractPostCapacity
//     bool RunUntil(std::function<bool()> done);             // false when it does not come about
//     void RunPending();                                     // whatever can run now
//   };
//   INSTANTIATE_TYPED_TEST_SUITE_P(Sim, ExecutorContract, Harness);
//
// Tests call the executor while nobody runs it, and from handlers.
#ifndef VMBUSKIT_PLATFORM_EXECUTOR_CONTRACT_H_
#define VMBUSKIT_PLATFORM_EXECUTOR_CONTRACT_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "platform/allocation_counter.h"
#include "platform/callback.h"
#include "platform/executor.h"
#include "platform/time.h"

namespace vmbuskit {

inline constexpr size_t kContractPostCapacity = 4;

// A handler made of a lambda, for tests.
class Handler {
 public:
  explicit Handler(std::function<void()> function) : function_(std::move(function)) {}
  void Run() {
    ++runs;
    if (function_) function_();
  }
  Callback callback() { return Callback::To<&Handler::Run>(this); }

  int runs = 0;

 private:
  std::function<void()> function_;
};

template <typename Harness>
class ExecutorContract : public testing::Test {
 protected:
  Executor& executor() { return harness_.executor(); }
  Handler Note(char letter) {
    return Handler([this, letter] { log_.push_back(letter); });
  }

  Harness harness_;
  std::string log_;
};

TYPED_TEST_SUITE_P(ExecutorContract);

TYPED_TEST_P(ExecutorContract, SignalsBeforeTheHandlerCoalesce) {
  Handler handler([] {});
  Event event(this->executor(), handler.callback());
  this->harness_.RunPending();
  EXPECT_EQ(handler.runs, 0);
  for (int i = 0; i < 5; ++i) event.Signal();
  EXPECT_TRUE(event.pending());
  this->harness_.RunPending();
  EXPECT_EQ(handler.runs, 1);
  EXPECT_FALSE(event.pending());
  event.Signal();
  this->harness_.RunPending();
  EXPECT_EQ(handler.runs, 2);
}

TYPED_TEST_P(ExecutorContract, SignalDuringTheHandlerRunsItAgain) {
  Event* self = nullptr;
  int left = 3;
  Handler handler([&] {
    EXPECT_FALSE(self->pending());
    if (--left > 0) self->Signal();
  });
  Event event(this->executor(), handler.callback());
  self = &event;
  event.Signal();
  this->harness_.RunPending();
  EXPECT_EQ(handler.runs, 3);
}

TYPED_TEST_P(ExecutorContract, EventsRunInTheOrderTheyWereSignalled) {
  Handler a = this->Note('a'), b = this->Note('b'), c = this->Note('c');
  Event event_a(this->executor(), a.callback());
  Event event_b(this->executor(), b.callback());
  Event event_c(this->executor(), c.callback());
  event_b.Signal();
  event_c.Signal();
  event_b.Signal();
  event_a.Signal();
  this->harness_.RunPending();
  EXPECT_EQ(this->log_, "bca");
}

TYPED_TEST_P(ExecutorContract, CancelForgetsTheSignalAndNothingElse) {
  Handler a = this->Note('a'), b = this->Note('b'), c = this->Note('c');
  Event event_a(this->executor(), a.callback());
  Event event_b(this->executor(), b.callback());
  Event event_c(this->executor(), c.callback());
  for (Event* event : {&event_a, &event_b, &event_c}) event->Signal();
  event_b.Cancel();
  EXPECT_FALSE(event_b.pending());
  event_c.Cancel();  // the last
  event_c.Signal();
  event_b.Signal();
  this->harness_.RunPending();
  EXPECT_EQ(this->log_, "acb");
  event_a.Cancel();  // not pending: nothing to forget
  this->harness_.RunPending();
  EXPECT_EQ(this->log_, "acb");
}

TYPED_TEST_P(ExecutorContract, DestroyedEventsAreDetached) {
  Handler a = this->Note('a'), b = this->Note('b'), c = this->Note('c');
  auto event_a = std::make_unique<Event>(this->executor(), a.callback());
  auto event_b = std::make_unique<Event>(this->executor(), b.callback());
  Event event_c(this->executor(), c.callback());
  // The first destroys the second, which is pending in the same turn.
  Handler destroy([&] { event_b.reset(); });
  Event event_destroy(this->executor(), destroy.callback());
  event_a->Signal();
  event_destroy.Signal();
  event_b->Signal();
  event_c.Signal();
  event_a.reset();
  this->harness_.RunPending();
  EXPECT_EQ(this->log_, "c");
}

TYPED_TEST_P(ExecutorContract, PostedCallsRunInOrder) {
  Handler a = this->Note('a'), b = this->Note('b'), c = this->Note('c');
  EXPECT_TRUE(this->executor().Post(b.callback()));
  EXPECT_TRUE(this->executor().Post(a.callback()));
  EXPECT_TRUE(this->executor().Post(b.callback()));
  EXPECT_TRUE(this->executor().Post(c.callback()));
  EXPECT_EQ(this->log_, "");
  this->harness_.RunPending();
  EXPECT_EQ(this->log_, "babc");
}

TYPED_TEST_P(ExecutorContract, FullQueueRefusesAndTakesAgainLater) {
  Handler handler([] {});
  for (size_t i = 0; i < kContractPostCapacity; ++i) {
    EXPECT_TRUE(this->executor().Post(handler.callback())) << i;
  }
  EXPECT_FALSE(this->executor().Post(handler.callback()));
  this->harness_.RunPending();
  EXPECT_EQ(handler.runs, static_cast<int>(kContractPostCapacity));
  EXPECT_TRUE(this->executor().Post(handler.callback()));
  this->harness_.RunPending();
  EXPECT_EQ(handler.runs, static_cast<int>(kContractPostCapacity) + 1);
}

TYPED_TEST_P(ExecutorContract, TimersRunInDeadlineOrderAndNeverEarly) {
  Executor& executor = this->executor();
  const Instant start = executor.Now();
  const Instant first = start + std::chrono::microseconds(500);
  const Instant second = start + std::chrono::milliseconds(2);
  Handler early([&] {
    this->log_.push_back('e');
    EXPECT_GE(executor.Now(), first);
  });
  Handler late([&] {
    this->log_.push_back('l');
    EXPECT_GE(executor.Now(), second);
  });
  Timer late_timer(executor, late.callback());
  Timer early_timer(executor, early.callback());
  late_timer.Arm(second);
  early_timer.Arm(first);
  EXPECT_TRUE(this->harness_.RunUntil([&] { return late.runs == 1; }));
  EXPECT_EQ(this->log_, "el");
  EXPECT_FALSE(late_timer.armed());
}

TYPED_TEST_P(ExecutorContract, DisarmedTimersDoNotRun) {
  Executor& executor = this->executor();
  Handler never([] {});
  Handler last([] {});
  Timer disarmed(executor, never.callback());
  auto destroyed = std::make_unique<Timer>(executor, never.callback());
  Timer disarmed_by_handler(executor, never.callback());
  Handler disarm([&] { disarmed_by_handler.Disarm(); });
  Timer disarmer(executor, disarm.callback());
  Timer end(executor, last.callback());
  const Instant now = executor.Now();
  disarmed.Arm(now + std::chrono::microseconds(10));
  destroyed->Arm(now + std::chrono::microseconds(10));
  disarmer.Arm(now);
  disarmed_by_handler.Arm(now + Duration(1));
  end.Arm(now + std::chrono::microseconds(100));
  disarmed.Disarm();
  destroyed.reset();
  EXPECT_TRUE(this->harness_.RunUntil([&] { return last.runs == 1; }));
  EXPECT_EQ(disarm.runs, 1);
  EXPECT_EQ(never.runs, 0);
}

TYPED_TEST_P(ExecutorContract, TimerMayArmItselfAgain) {
  Executor& executor = this->executor();
  Timer* self = nullptr;
  Handler tick([&] { self->Arm(self->deadline() + std::chrono::microseconds(20)); });
  Timer timer(executor, tick.callback());
  self = &timer;
  timer.Arm(executor.Now());
  EXPECT_TRUE(this->harness_.RunUntil([&] { return tick.runs >= 10; }));
  EXPECT_TRUE(timer.armed());
}

TYPED_TEST_P(ExecutorContract, BusyEventsAndPostsDoNotStarveTimers) {
  Executor& executor = this->executor();
  Event* self = nullptr;
  Handler busy([&] { self->Signal(); });
  Event event(executor, busy.callback());
  self = &event;
  Handler* posting = nullptr;
  Handler post([&] { EXPECT_TRUE(executor.Post(posting->callback())); });
  posting = &post;
  Handler due([] {});
  Timer timer(executor, due.callback());
  event.Signal();
  ASSERT_TRUE(executor.Post(post.callback()));
  timer.Arm(executor.Now());
  EXPECT_TRUE(this->harness_.RunUntil([&] { return due.runs == 1; }));
  EXPECT_LT(busy.runs, 1000);
  EXPECT_LT(post.runs, 1000);
}

TYPED_TEST_P(ExecutorContract, PollersRunAtTheirPeriod) {
  Executor& executor = this->executor();
  const Instant start = executor.Now();
  Handler slow([] {});
  Handler fast([] {});
  Poller slow_poller(executor, slow.callback(), std::chrono::microseconds(100));
  Poller fast_poller(executor, fast.callback());
  slow_poller.Start();
  slow_poller.Start();  // started already
  fast_poller.Start();
  EXPECT_TRUE(this->harness_.RunUntil([&] { return slow.runs == 4; }));
  EXPECT_GE(executor.Now(), start + std::chrono::microseconds(300));
  EXPECT_GE(fast.runs, 4);
  fast_poller.Stop();
  slow_poller.Stop();
  const int ran = slow.runs + fast.runs;
  Handler end([] {});
  Timer timer(executor, end.callback());
  timer.Arm(executor.Now() + std::chrono::microseconds(200));
  EXPECT_TRUE(this->harness_.RunUntil([&] { return end.runs == 1; }));
  EXPECT_EQ(slow.runs + fast.runs, ran);
}

TYPED_TEST_P(ExecutorContract, PollersMayStopThemselvesAndOthers) {
  std::optional<Poller> first, second, third;
  Handler stop_both([&] {
    first->Stop();
    second->Stop();
  });
  Handler never([] {});
  Handler last([] {});
  first.emplace(this->executor(), stop_both.callback());
  second.emplace(this->executor(), never.callback());
  third.emplace(this->executor(), last.callback());
  first->Start();
  second->Start();
  third->Start();
  EXPECT_TRUE(this->harness_.RunUntil([&] { return last.runs == 3; }));
  EXPECT_EQ(stop_both.runs, 1);
  EXPECT_EQ(never.runs, 0);
}

TYPED_TEST_P(ExecutorContract, IsCurrentInHandlersOnly) {
  Executor& executor = this->executor();
  int current = 0;
  Handler handler([&] { current += executor.IsCurrent(); });
  Event event(executor, handler.callback());
  Timer timer(executor, handler.callback());
  event.Signal();
  timer.Arm(executor.Now());
  ASSERT_TRUE(executor.Post(handler.callback()));
  EXPECT_FALSE(executor.IsCurrent());
  EXPECT_TRUE(this->harness_.RunUntil([&] { return handler.runs == 3; }));
  EXPECT_EQ(current, 3);
  EXPECT_FALSE(executor.IsCurrent());
}

TYPED_TEST_P(ExecutorContract, NothingOfItAllocates) {
  Executor& executor = this->executor();
  Handler handler([] {});
  Event event(executor, handler.callback());
  Timer near(executor, handler.callback());
  Timer far(executor, handler.callback());
  Poller poller(executor, handler.callback());
  const uint64_t before = ThreadAllocations();
  for (int i = 0; i < 100; ++i) {
    near.Arm(executor.Now());
    far.Arm(executor.Now() + std::chrono::hours(i));
    poller.Start();
    for (size_t post = 0; post < kContractPostCapacity; ++post) {
      EXPECT_TRUE(executor.Post(handler.callback()));
    }
    event.Signal();
    this->harness_.RunPending();
    poller.Stop();
  }
  EXPECT_EQ(ThreadAllocations() - before, 0u);
  // far's first deadline was now, as near's always is.
  EXPECT_GE(handler.runs, 100 * (3 + static_cast<int>(kContractPostCapacity)) + 1);
  const auto counted = std::make_unique<int>(1);
  EXPECT_EQ(ThreadAllocations() - before, 1u);
}

REGISTER_TYPED_TEST_SUITE_P(ExecutorContract, SignalsBeforeTheHandlerCoalesce,
                            SignalDuringTheHandlerRunsItAgain, EventsRunInTheOrderTheyWereSignalled,
                            CancelForgetsTheSignalAndNothingElse, DestroyedEventsAreDetached,
                            PostedCallsRunInOrder, FullQueueRefusesAndTakesAgainLater,
                            TimersRunInDeadlineOrderAndNeverEarly, DisarmedTimersDoNotRun,
                            TimerMayArmItselfAgain, BusyEventsAndPostsDoNotStarveTimers,
                            PollersRunAtTheirPeriod, PollersMayStopThemselvesAndOthers,
                            IsCurrentInHandlersOnly, NothingOfItAllocates);

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_EXECUTOR_CONTRACT_H_
