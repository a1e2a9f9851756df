// What the executor costs: bazel run -c opt //platform/linux:executor_benchmark
#include <cstdint>
#include <memory>
#include <vector>

#include "benchmark/benchmark.h"
#include "platform/callback.h"
#include "platform/executor.h"
#include "platform/linux/executor_thread.h"
#include "platform/tsc.h"

namespace vmbuskit {
namespace {

using Mode = LinuxExecutor::Mode;

struct Counter {
  void Count() { ++count; }
  Callback callback() { return Callback::To<&Counter::Count>(this); }
  uint64_t count = 0;
};

void IdlePollingTurn(benchmark::State& state) {
  auto executor =
      LinuxExecutor::Create({.mode = Mode::kPoll, .idle_turns_before_yield = 0}).value();
  for (auto _ : state) executor->RunOnce(/*may_sleep=*/true);
}
BENCHMARK(IdlePollingTurn);

void SignalAndRun(benchmark::State& state) {
  auto executor = LinuxExecutor::Create({.mode = Mode::kPoll}).value();
  Counter counter;
  Event event(*executor, counter.callback());
  for (auto _ : state) {
    event.Signal();
    executor->RunOnce(/*may_sleep=*/true);
  }
  benchmark::DoNotOptimize(counter.count);
}
BENCHMARK(SignalAndRun);

void SignalPending(benchmark::State& state) {
  auto executor = LinuxExecutor::Create({}).value();
  Counter counter;
  Event event(*executor, counter.callback());
  for (auto _ : state) event.Signal();
}
BENCHMARK(SignalPending);

void PostAndRun(benchmark::State& state) {
  auto executor = LinuxExecutor::Create({.mode = Mode::kPoll}).value();
  Counter counter;
  for (auto _ : state) {
    benchmark::DoNotOptimize(executor->Post(counter.callback()));
    executor->RunOnce(/*may_sleep=*/true);
  }
}
BENCHMARK(PostAndRun);

// A request's deadline: armed, then disarmed by the answer, with `range` others under way.
void ArmAndDisarm(benchmark::State& state) {
  auto executor = LinuxExecutor::Create({}).value();
  Counter counter;
  std::vector<std::unique_ptr<Timer>> timers;
  for (int64_t i = 0; i < state.range(0); ++i) {
    timers.push_back(std::make_unique<Timer>(*executor, counter.callback()));
    timers.back()->Arm(executor->Now() + std::chrono::seconds(60));
  }
  Timer timer(*executor, counter.callback());
  const Instant deadline = executor->Now() + std::chrono::seconds(60);
  for (auto _ : state) {
    timer.Arm(deadline);
    timer.Disarm();
  }
}
BENCHMARK(ArmAndDisarm)->Arg(0)->Arg(1000);

void ReadTsc(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(ReadOrderedTsc());
}
BENCHMARK(ReadTsc);

// One event to another thread and one back.
void RoundTrip(benchmark::State& state) {
  const Mode mode = state.range(0) == 0 ? Mode::kSleep : Mode::kPoll;
  auto peer = ExecutorThread::Start({.executor = {.mode = mode}}).value();
  auto own = LinuxExecutor::Create({.mode = mode}).value();
  Counter counter;
  Event back(*own, counter.callback());
  Event there(peer->executor(), Callback::To<&Event::Signal>(&back));
  for (auto _ : state) {
    const uint64_t before = counter.count;
    there.Signal();
    while (counter.count == before) own->RunOnce(/*may_sleep=*/true);
  }
  peer->Stop();
  state.SetLabel(mode == Mode::kSleep ? "sleeping" : "polling");
}
BENCHMARK(RoundTrip)->Arg(0)->Arg(1)->UseRealTime();

}  // namespace
}  // namespace vmbuskit
