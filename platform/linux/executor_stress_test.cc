// Executors on several threads. What these tests look for is lost wake-ups, and such a one would leave them hanging.
#include <sched.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "platform/callback.h"
#include "platform/executor.h"
#include "platform/linux/executor_thread.h"

namespace vmbuskit {
namespace {

using Mode = LinuxExecutor::Mode;

constexpr int kHandOvers = 100'000;

std::unique_ptr<ExecutorThread> StartThread(Mode mode) {
  return ExecutorThread::Start({.executor = {.mode = mode, .post_capacity = 16}}).value();
}

class LinuxExecutorStress : public testing::TestWithParam<Mode> {
 protected:
  std::unique_ptr<ExecutorThread> a_ = StartThread(GetParam());
  std::unique_ptr<ExecutorThread> b_ = StartThread(GetParam());
};

// A ball that two executors pass to each other until it was handed over kHandOvers times.
class Ball {
 public:
  Ball(LinuxExecutor& a, LinuxExecutor& b)
      : executors_{&a, &b},
        events_{Event(a, Callback::To<&Ball::HitByEvent>(this)),
                Event(b, Callback::To<&Ball::HitByEvent>(this))} {}

  void StartWithEvents() { events_[0].Signal(); }
  void StartWithPosts() {
    EXPECT_TRUE(executors_[hits_ % 2]->Post(Callback::To<&Ball::HitByPost>(this)));
  }
  void Wait() { done_.get_future().wait(); }
  int hits() const { return hits_; }

 private:
  void HitByEvent() {
    if (Hit()) events_[hits_ % 2].Signal();
  }
  void HitByPost() {
    if (Hit()) StartWithPosts();
  }
  bool Hit() {
    EXPECT_TRUE(executors_[hits_ % 2]->IsCurrent());
    if (++hits_ < kHandOvers) return true;
    done_.set_value();
    return false;
  }

  const std::array<LinuxExecutor*, 2> executors_;
  std::array<Event, 2> events_;
  int hits_ = 0;  // plain: handing the ball over is what makes it visible
  std::promise<void> done_;
};

TEST_P(LinuxExecutorStress, PingPongOverEventsLosesNoWakeUp) {
  Ball ball(a_->executor(), b_->executor());
  ball.StartWithEvents();
  ball.Wait();
  a_->Stop();
  b_->Stop();
  EXPECT_EQ(ball.hits(), kHandOvers);
  EXPECT_EQ(a_->executor().counters().events + b_->executor().counters().events, kHandOvers);
}

TEST_P(LinuxExecutorStress, PingPongOverPostsLosesNoWakeUp) {
  Ball ball(a_->executor(), b_->executor());
  ball.StartWithPosts();
  ball.Wait();
  a_->Stop();
  b_->Stop();
  EXPECT_EQ(ball.hits(), kHandOvers);
}

TEST_P(LinuxExecutorStress, ModesChangeWhileTheBallFlies) {
  Ball ball(a_->executor(), b_->executor());
  ball.StartWithEvents();
  for (int i = 0; i < 2000; ++i) {
    a_->executor().SetMode(i % 2 == 0 ? Mode::kPoll : Mode::kSleep);
    b_->executor().SetMode(i % 3 == 0 ? Mode::kPoll : Mode::kSleep);
    sched_yield();
  }
  ball.Wait();
  a_->Stop();
  b_->Stop();
  EXPECT_EQ(ball.hits(), kHandOvers);
}

// The handler sees what was written before any signal, also before one that coalesced because the event was still
// pending. Every round ends in a signal that may just meet the handler's beginning.
class Drain {
 public:
  explicit Drain(LinuxExecutor& executor)
      : event_(executor, Callback::To<&Drain::OnSignal>(this)) {}
  void Produce() {
    // Relaxed: only the event makes it visible.
    produced_.store(++count_, std::memory_order_relaxed);
    event_.Signal();
  }
  void WaitUntilAllSeen() {
    for (int spins = 0; seen_.load(std::memory_order_relaxed) != count_; ++spins) {
      if (spins > 1000) sched_yield();
    }
  }

 private:
  void OnSignal() {
    seen_.store(produced_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }

  uint64_t count_ = 0;
  std::atomic<uint64_t> produced_ = 0;
  std::atomic<uint64_t> seen_ = 0;
  Event event_;
};

TEST_P(LinuxExecutorStress, CoalescedSignalsHideNothing) {
  Drain drain(a_->executor());
  for (int round = 0; round < kHandOvers / 4; ++round) {
    for (int signals = round % 8; signals >= 0; --signals) drain.Produce();
    drain.WaitUntilAllSeen();
  }
  a_->Stop();
}

// Many threads signal one event: every signal leads to a call, or to one that began after it.
TEST_P(LinuxExecutorStress, ManyThreadsSignalOneEvent) {
  std::atomic<uint64_t> produced = 0;
  struct Consumer {
    void OnSignal() { seen = produced.load(std::memory_order_relaxed); }
    std::atomic<uint64_t>& produced;
    uint64_t seen = 0;
  } consumer{produced};
  Event event(a_->executor(), Callback::To<&Consumer::OnSignal>(&consumer));
  std::vector<std::thread> producers;
  for (int i = 0; i < 2; ++i) {
    producers.emplace_back([&] {
      for (int n = 0; n < kHandOvers; ++n) {
        produced.fetch_add(1, std::memory_order_relaxed);
        event.Signal();
      }
    });
  }
  for (std::thread& producer : producers) producer.join();
  a_->Stop();  // handles what is pending
  EXPECT_EQ(consumer.seen, 2u * kHandOvers);
}

// Calls that one thread posts, each with its number.
struct Sequence {
  struct Call {
    void Run() {
      in_order &= owner->next == number;
      ++owner->next;
    }
    Sequence* owner;
    int number;
    bool in_order = true;
  };
  explicit Sequence(int count) : calls(count) {
    for (int i = 0; i < count; ++i) calls[i] = {.owner = this, .number = i};
  }
  void PostAll(LinuxExecutor& executor) {
    for (Call& call : calls) {
      while (!executor.Post(Callback::To<&Call::Run>(&call))) sched_yield();
    }
  }
  bool InOrder() const {
    bool all = next == static_cast<int>(calls.size());
    for (const Call& call : calls) all &= call.in_order;
    return all;
  }

  std::vector<Call> calls;
  int next = 0;
};

TEST_P(LinuxExecutorStress, PostsOfEachThreadRunInTheirOrder) {
  Sequence first(kHandOvers / 2);
  Sequence second(kHandOvers / 2);
  std::thread poster([&] { first.PostAll(a_->executor()); });
  second.PostAll(a_->executor());
  poster.join();
  a_->Stop();  // runs what is pending
  EXPECT_TRUE(first.InOrder());
  EXPECT_TRUE(second.InOrder());
  EXPECT_EQ(a_->executor().counters().posts, static_cast<uint64_t>(kHandOvers));
}

TEST_P(LinuxExecutorStress, CancelRacesWithSignals) {
  std::atomic<bool> stop = false;
  struct Counter {
    void Count() { ++runs; }
    int runs = 0;
  } counter;
  Event event(a_->executor(), Callback::To<&Counter::Count>(&counter));
  std::thread signaller([&] {
    while (!stop.load(std::memory_order_relaxed)) event.Signal();
  });
  for (int i = 0; i < 2000; ++i) a_->Invoke([&] { event.Cancel(); });
  stop = true;
  signaller.join();
  // Afterwards the event works as ever.
  int before = 0;
  a_->Invoke([&] {
    event.Cancel();
    EXPECT_FALSE(event.pending());
    before = counter.runs;
    event.Signal();
  });
  a_->Stop();
  EXPECT_EQ(counter.runs, before + 1);
}

INSTANTIATE_TEST_SUITE_P(Modes, LinuxExecutorStress, testing::Values(Mode::kSleep, Mode::kPoll),
                         [](const auto& info) {
                           return info.param == Mode::kSleep ? "Sleep" : "Poll";
                         });

TEST(LinuxExecutorIdle, AnIdleSleepingExecutorMakesNoTurn) {
  auto idle = StartThread(Mode::kSleep);
  while (!idle->executor().sleeping()) sched_yield();
  // Nobody gave it work: its first turn finds nothing and it sleeps, while others are busy for long.
  {
    auto a = StartThread(Mode::kSleep);
    auto b = StartThread(Mode::kSleep);
    Ball ball(a->executor(), b->executor());
    ball.StartWithEvents();
    ball.Wait();
    a->Stop();
    b->Stop();
  }
  EXPECT_TRUE(idle->executor().sleeping());
  EXPECT_EQ(idle->executor().counters().turns, 1u);
  EXPECT_EQ(idle->executor().counters().sleeps, 1u);
  EXPECT_EQ(idle->executor().counters().wakeups_sent, 0u);
}

}  // namespace
}  // namespace vmbuskit
