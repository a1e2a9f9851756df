#include "platform/sim/scheduler.h"

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "platform/executor.h"
#include "platform/random.h"
#include "platform/time.h"

namespace vmbuskit {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Writes its letter into a shared log whenever it runs, `turns` times.
class Worker {
 public:
  Worker(SimExecutor& executor, std::string& log, char letter, int turns)
      : executor_(executor), log_(log), letter_(letter), turns_(turns) {}

  void Run() {
    log_.push_back(letter_);
    was_current_ &= executor_.IsCurrent();
    if (--turns_ > 0) event.Signal();
  }
  bool was_current() const { return was_current_; }

 private:
  SimExecutor& executor_;
  std::string& log_;
  const char letter_;
  int turns_;
  bool was_current_ = true;

 public:
  Event event{executor_, Callback::To<&Worker::Run>(this)};
};

// Three executors with three turns each.
std::string Interleaving(uint64_t seed, uint64_t* hash) {
  SimScheduler sim(seed);
  std::string log;
  Worker a(sim.NewExecutor(0), log, 'a', 3);
  Worker b(sim.NewExecutor(1), log, 'b', 3);
  Worker c(sim.NewExecutor(2), log, 'c', 3);
  a.event.Signal();
  b.event.Signal();
  c.event.Signal();
  EXPECT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_TRUE(a.was_current() && b.was_current() && c.was_current());
  EXPECT_EQ(sim.steps(), 9u);
  *hash = sim.trace_hash();
  return log;
}

TEST(SimScheduler, SeedZeroIsRoundRobin) {
  uint64_t hash;
  EXPECT_EQ(Interleaving(0, &hash), "abcabcabc");
}

TEST(SimScheduler, SameSeedSameRunOtherSeedsOtherRuns) {
  std::set<std::string> logs;
  std::set<uint64_t> hashes;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    uint64_t hash;
    uint64_t again;
    const std::string log = Interleaving(seed, &hash);
    EXPECT_EQ(log, Interleaving(seed, &again));
    EXPECT_EQ(hash, again);
    logs.insert(log);
    hashes.insert(hash);
  }
  EXPECT_GT(logs.size(), 50u);  // of 1680
  EXPECT_EQ(hashes.size(), logs.size());
}

struct Counter {
  void Count() { ++count; }
  int count = 0;
};

TEST(SimScheduler, TheTraceHashSeesTheTime) {
  uint64_t hashes[2];
  for (int i = 0; i < 2; ++i) {
    SimScheduler sim(0);
    Counter counter;
    Timer timer(sim.NewExecutor(0), Callback::To<&Counter::Count>(&counter));
    timer.Arm(sim.Now() + seconds(1 + i));
    EXPECT_TRUE(sim.RunFor(seconds(5)).ok());
    hashes[i] = sim.trace_hash();
  }
  EXPECT_NE(hashes[0], hashes[1]);
}

TEST(SimScheduler, TimeStandsStillUntilIdleAndJumpsToTimers) {
  SimScheduler sim(3);
  SimExecutor& executor = sim.NewExecutor(0);
  Counter counter;
  Timer timer(executor, Callback::To<&Counter::Count>(&counter));
  const Instant start = sim.Now();
  timer.Arm(start + seconds(60));
  EXPECT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_EQ(sim.Now(), start);
  EXPECT_EQ(counter.count, 0);
  EXPECT_TRUE(sim.RunFor(seconds(60) - Duration(1)).ok());
  EXPECT_EQ(counter.count, 0);
  EXPECT_TRUE(sim.RunFor(Duration(1)).ok());
  EXPECT_EQ(counter.count, 1);
  EXPECT_EQ(executor.Now(), start + seconds(60));
  EXPECT_EQ(sim.steps(), 1u);
}

TEST(SimScheduler, TimersOfSeveralExecutorsFireInTheOrderOfTime) {
  SimScheduler sim(11);
  std::string log;
  Worker early(sim.NewExecutor(0), log, 'e', 1);
  Worker late(sim.NewExecutor(1), log, 'l', 1);
  Timer late_timer(early.event.executor(), Callback::To<&Worker::Run>(&late));
  Timer early_timer(late.event.executor(), Callback::To<&Worker::Run>(&early));
  late_timer.Arm(sim.Now() + milliseconds(2));
  early_timer.Arm(sim.Now() + milliseconds(1));
  EXPECT_TRUE(sim.RunFor(milliseconds(2)).ok());
  EXPECT_EQ(log, "el");
}

TEST(SimScheduler, RunUntilStopsAtThePredicateItsLimitOrTheEnd) {
  SimScheduler sim(1);
  Counter counter;
  SimExecutor& executor = sim.NewExecutor(0);
  Timer timer(executor, Callback::To<&Counter::Count>(&counter));
  const Instant start = sim.Now();
  const auto counted = [&] { return counter.count == 1; };

  timer.Arm(start + seconds(10));
  EXPECT_FALSE(sim.RunUntil(counted, seconds(4)));
  EXPECT_EQ(sim.Now(), start + seconds(4));
  EXPECT_TRUE(sim.RunUntil(counted, seconds(1000)));
  EXPECT_EQ(sim.Now(), start + seconds(10));
  // Nothing can happen any more: there is no use in letting time pass, or in waiting for ever.
  EXPECT_FALSE(sim.RunUntil([] { return false; }, Duration::max()));
  EXPECT_EQ(sim.Now(), start + seconds(10));
  EXPECT_TRUE(sim.status().ok());
}

TEST(SimScheduler, StepLimitIsAnErrorThatNamesItself) {
  SimScheduler sim(0, {.steps_max = 100});
  std::string log;
  Worker forever(sim.NewExecutor(7), log, 'x', 1'000'000);
  forever.event.Signal();
  const absl::Status status = sim.RunUntilIdle();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(
      status.message(),
      "SimScheduler::RunUntilIdle: steps_max = 100 turns were not enough at 1000000000 ns; cpu "
      "7 has event");
  EXPECT_EQ(log.size(), 100u);
  EXPECT_FALSE(sim.RunUntil([] { return false; }, seconds(1)));
  EXPECT_EQ(sim.status().code(), absl::StatusCode::kResourceExhausted);
  forever.event.Cancel();
  EXPECT_TRUE(sim.RunUntilIdle().ok());
}

TEST(SimScheduler, AHeldExecutorGetsNoTurnsAndItsTimersComeLate) {
  SimScheduler sim(0);
  std::string log;
  SimExecutor& held = sim.NewExecutor(0);
  Worker a(held, log, 'a', 1);
  Worker b(sim.NewExecutor(1), log, 'b', 2);
  struct Late {
    void Fire() { at = sim.Now(); }
    SimScheduler& sim;
    Instant at{};
  } late{sim};
  Timer timer(held, Callback::To<&Late::Fire>(&late));
  timer.Arm(sim.Now() + seconds(1));
  sim.Hold(held);
  a.event.Signal();
  b.event.Signal();
  EXPECT_TRUE(sim.RunFor(seconds(3)).ok());
  EXPECT_EQ(log, "bb");
  EXPECT_EQ(late.at, Instant{});
  sim.Release(held);
  const Instant released = sim.Now();
  EXPECT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_EQ(log, "bba");
  EXPECT_EQ(late.at, released);
}

TEST(SimScheduler, PollerWithPeriodZeroTakesVirtualTime) {
  SimScheduler sim(0, {.poll_interval = microseconds(2)});
  Counter counter;
  Poller poller(sim.NewExecutor(0), Callback::To<&Counter::Count>(&counter));
  poller.Start();
  EXPECT_TRUE(sim.RunUntilIdle().ok());  // does not run for ever
  EXPECT_EQ(counter.count, 1);
  EXPECT_TRUE(sim.RunFor(microseconds(20)).ok());
  EXPECT_EQ(counter.count, 11);
}

TEST(SimScheduler, EnterMakesAnExecutorCurrentForAWhile) {
  SimScheduler sim(0);
  SimExecutor& a = sim.NewExecutor(0);
  SimExecutor& b = sim.NewExecutor(1);
  EXPECT_FALSE(a.IsCurrent());
  {
    const SimTurn turn = sim.Enter(a);
    EXPECT_TRUE(a.IsCurrent());
    {
      const SimTurn inner = sim.Enter(b);
      EXPECT_FALSE(a.IsCurrent());
      EXPECT_TRUE(b.IsCurrent());
    }
    EXPECT_TRUE(a.IsCurrent());
  }
  EXPECT_FALSE(a.IsCurrent());
}

TEST(SimScheduler, HandlersMayMakeExecutors) {
  struct Grower {
    void Grow() {
      if (++grown < 20) executors.push_back(&sim.NewExecutor(grown));
      if (grown < 20) (void)executors.back()->Post(Callback::To<&Grower::Grow>(this));
    }
    SimScheduler& sim;
    std::vector<SimExecutor*> executors;
    uint32_t grown = 0;
  };
  SimScheduler sim(5);
  Grower grower{sim, {&sim.NewExecutor(0)}};
  ASSERT_TRUE(grower.executors[0]->Post(Callback::To<&Grower::Grow>(&grower)));
  EXPECT_TRUE(sim.RunUntilIdle().ok());
  EXPECT_EQ(grower.grown, 20u);
}

// A small system: a client sends requests to a server on another executor and waits for each answer, which the
// server gives after a delay. Full queues are back-pressure, deadlines cancel.
class Exchange {
 public:
  Exchange(SimExecutor& client, SimExecutor& server, Random& random)
      : client_(client), server_(server), random_(random) {}

  void Start() { send_.Signal(); }
  bool ended() const { return answered_ + timed_out_ == kRequests; }
  int answered() const { return answered_; }
  int timed_out() const { return timed_out_; }

 private:
  static constexpr int kRequests = 50;

  void Send() {
    EXPECT_TRUE(client_.IsCurrent());
    if (ended()) return;
    deadline_.Arm(client_.Now() + milliseconds(5));
    waiting_ = true;
    if (!server_.Post(Callback::To<&Exchange::Serve>(this))) OnDeadline();
  }
  void Serve() {
    EXPECT_TRUE(server_.IsCurrent());
    work_.Arm(server_.Now() + microseconds(random_.Below(6'000)));
  }
  void Answer() {
    EXPECT_TRUE(server_.IsCurrent());
    EXPECT_TRUE(client_.Post(Callback::To<&Exchange::OnAnswer>(this)));
  }
  void OnAnswer() {
    if (!std::exchange(waiting_, false)) return;  // late: its deadline has passed
    deadline_.Disarm();
    ++answered_;
    send_.Signal();
  }
  void OnDeadline() {
    waiting_ = false;
    deadline_.Disarm();
    ++timed_out_;
    send_.Signal();
  }

  SimExecutor& client_;
  SimExecutor& server_;
  Random& random_;
  Event send_{client_, Callback::To<&Exchange::Send>(this)};
  Timer deadline_{client_, Callback::To<&Exchange::OnDeadline>(this)};
  Timer work_{server_, Callback::To<&Exchange::Answer>(this)};
  bool waiting_ = false;
  int answered_ = 0;
  int timed_out_ = 0;
};

struct ExchangeResult {
  int answered;
  uint64_t hash;
  Instant end;
  bool operator==(const ExchangeResult&) const = default;
};

ExchangeResult RunExchange(uint64_t seed) {
  SimScheduler sim(seed);
  Random random(seed);
  Exchange exchange(sim.NewExecutor(0), sim.NewExecutor(1), random);
  exchange.Start();
  EXPECT_TRUE(sim.RunUntil([&] { return exchange.ended(); }, seconds(1))) << seed;
  EXPECT_LE(sim.Now(), Instant(seconds(1)) + 50 * milliseconds(5));
  EXPECT_EQ(exchange.answered() + exchange.timed_out(), 50);
  return {.answered = exchange.answered(), .hash = sim.trace_hash(), .end = sim.Now()};
}

TEST(SimScheduler, EveryRequestOfASmallSystemEndsUnderEverySeed) {
  int all_answered = 0;
  std::set<uint64_t> hashes;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const ExchangeResult result = RunExchange(seed);
    EXPECT_EQ(result, RunExchange(seed)) << seed;
    all_answered += result.answered;
    hashes.insert(result.hash);
  }
  EXPECT_GT(all_answered, 200 * 50 / 2);  // five in six are served in time
  EXPECT_LT(all_answered, 200 * 50);
  EXPECT_EQ(hashes.size(), 200u);
}

TEST(SimScheduler, ZeroDurationRunsWhatIsDueNow) {
  SimScheduler sim(4);
  Counter counter;
  Timer timer(sim.NewExecutor(0), Callback::To<&Counter::Count>(&counter));
  timer.Arm(sim.Now());
  EXPECT_TRUE(sim.RunFor(Duration::zero()).ok());
  EXPECT_EQ(counter.count, 1);
}

}  // namespace
}  // namespace vmbuskit
