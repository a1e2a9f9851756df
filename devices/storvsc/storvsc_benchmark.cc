// A disk of the guest over the embedded host's storvsp with a null back end: what everything between costs.
//
//   bazel run -c opt //devices/storvsc:storvsc_benchmark -- --benchmark_format=json
//
// TwoThreads: guest and host each poll on a CPU of their own; time is wall time. CacheLine is a word there and back
// between the same two CPUs, Copy a memcpy of as many bytes. The null back end moves no data.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "devices/storvsc/storvsc_rig.h"
#include "platform/linux/affinity.h"

namespace vmbuskit {
namespace {

void Report(benchmark::State& state, uint64_t requests, uint64_t bytes, uint64_t failed) {
  state.SetItemsProcessed(static_cast<int64_t>(requests));
  state.SetBytesProcessed(static_cast<int64_t>(requests * bytes));
  state.counters["per_request"] = benchmark::Counter(
      static_cast<double>(requests), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  if (failed != 0) state.SkipWithError("requests failed");
}

void Disk(benchmark::State& state, StorvscRig::Threads threads, bool random) {
  StorvscRig rig(threads);
  const auto depth = static_cast<uint32_t>(state.range(0));
  const auto bytes = static_cast<uint32_t>(state.range(1));
  const uint64_t requests = uint64_t{depth} * 64;
  for (auto _ : state) {
    rig.Start({.depth = depth, .bytes = bytes, .total = requests, .random = random});
    rig.Run();
  }
  Report(state, requests * static_cast<uint64_t>(state.iterations()), bytes, rig.failed());
}

void TwoThreads(benchmark::State& state) { Disk(state, StorvscRig::Threads::kTwo, true); }
void TwoThreadsSequential(benchmark::State& state) {
  Disk(state, StorvscRig::Threads::kTwo, false);
}
void OneThread(benchmark::State& state) { Disk(state, StorvscRig::Threads::kOne, true); }

BENCHMARK(TwoThreads)
    ->ArgNames({"depth", "bytes"})
    ->ArgsProduct({{1, 32, 128}, {4096}})
    ->UseRealTime();
BENCHMARK(TwoThreadsSequential)
    ->ArgNames({"depth", "bytes"})
    ->ArgsProduct({{1, 32}, {64 << 10, 1 << 20}})
    ->UseRealTime();
BENCHMARK(OneThread)->ArgNames({"depth", "bytes"})->ArgsProduct({{1, 128}, {4096}});

void CacheLine(benchmark::State& state) {
  struct alignas(64) Word {
    std::atomic<uint64_t> value = 0;
  };
  Word there, back;
  std::atomic<bool> ready = false, stop = false;
  const std::vector<uint32_t>& cpus = StorvscRig::Cpus();
  if (cpus.size() > 1) (void)PinCurrentThread(cpus[1]);  // which the other thread inherits
  std::thread echo([&] {
    ready.store(true);
    uint64_t seen = 0;
    while (!stop.load(std::memory_order_relaxed)) {
      const uint64_t value = there.value.load(std::memory_order_acquire);
      if (value == seen) continue;
      seen = value;
      back.value.store(value, std::memory_order_release);
    }
  });
  if (cpus.size() > 1) (void)PinCurrentThread(cpus[0]);
  while (!ready.load()) {
  }
  uint64_t round = 0;
  for (auto _ : state) {
    for (int i = 0; i < 1000; ++i) {
      there.value.store(++round, std::memory_order_release);
      while (back.value.load(std::memory_order_acquire) != round) {
      }
    }
  }
  stop.store(true);
  echo.join();
  Report(state, round, 0, 0);
}
BENCHMARK(CacheLine)->UseRealTime();

void Copy(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  std::vector<std::byte> from(32 << 20), to(32 << 20);
  size_t at = 0;
  for (auto _ : state) {
    std::memcpy(to.data() + at, from.data() + at, bytes);
    benchmark::DoNotOptimize(to.data() + at);
    benchmark::ClobberMemory();
    at = (at + bytes) % to.size();
  }
  Report(state, static_cast<uint64_t>(state.iterations()), bytes, 0);
}
BENCHMARK(Copy)->ArgNames({"bytes"})->Args({64 << 10})->Args({1 << 20});

}  // namespace
}  // namespace vmbuskit
