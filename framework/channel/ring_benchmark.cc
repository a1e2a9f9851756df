// What a packet costs on the ring, against a baseline that works the way most drivers do
// (ring_baseline.h).
//
//   bazel run -c opt //framework/channel:ring_benchmark -- --benchmark_filter=WriteRead
//
// WriteRead: one thread writes a batch and reads it. TwoThreads: a producer and a polling consumer,
// pinned to CPUs 0 and 1 where there are two. PingPong: one packet there and back between two
// polling threads.
#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "framework/channel/ring_threads.h"
#include "framework/channel/ring_workload.h"
#include "platform/linux/affinity.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kRingBytes = 256 * 1024;

template <typename Workload, uint32_t kBatch>
void WriteRead(benchmark::State& state) {
  TestRing ring(kRingBytes);
  Workload work(ring, static_cast<uint32_t>(state.range(0)));
  constexpr uint64_t kBatches = 4096 / kBatch;
  for (auto _ : state) {
    if (!work.Run(kBatches)) state.SkipWithError("lost a packet");
  }
  const auto packets = static_cast<double>(state.iterations() * kBatches * kBatch);
  state.SetItemsProcessed(state.iterations() * kBatches * kBatch);
  state.counters["per_packet"] =
      benchmark::Counter(packets, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void RingBatch1(benchmark::State& state) { WriteRead<RingWorkload<1>, 1>(state); }
void RingBatch16(benchmark::State& state) { WriteRead<RingWorkload<16>, 16>(state); }
void InPlaceBatch16(benchmark::State& state) { WriteRead<RingWorkload<16, true>, 16>(state); }
void BaselineBatch1(benchmark::State& state) { WriteRead<BaselineWorkload<1>, 1>(state); }
void BaselineBatch16(benchmark::State& state) { WriteRead<BaselineWorkload<16>, 16>(state); }

void Payloads(benchmark::internal::Benchmark* benchmark) {
  for (int payload : {16, 64, 256, 1024, 4096}) benchmark->Arg(payload);
}
BENCHMARK(RingBatch1)->Apply(Payloads)->Name("WriteRead/ring/batch:1");
BENCHMARK(RingBatch16)->Apply(Payloads)->Name("WriteRead/ring/batch:16");
BENCHMARK(InPlaceBatch16)->Apply(Payloads)->Name("WriteRead/ring_in_place/batch:16");
BENCHMARK(BaselineBatch1)->Apply(Payloads)->Name("WriteRead/baseline/batch:1");
BENCHMARK(BaselineBatch16)->Apply(Payloads)->Name("WriteRead/baseline/batch:16");

// To the `which`th CPU that this process had at its start: a pinned thread's own set is smaller.
void Pin(uint32_t which) {
  static const std::vector<uint32_t> kCpus = AllowedCpus();
  if (kCpus.size() > 1) (void)PinCurrentThread(kCpus[which % kCpus.size()]);
}

// Runs `producer` here and `consumer` on another thread, both from the same moment; seconds until
// both ended.
template <typename Producer, typename Consumer>
double RunTwo(Producer producer, Consumer consumer) {
  std::atomic<int> ready = 0;
  const auto meet = [&ready] {
    ready.fetch_add(1);
    for (SpinWait spin; ready.load() < 2;) spin.Pause();
  };
  Pin(0);
  std::thread thread([&] {
    Pin(1);
    meet();
    consumer();
  });
  meet();
  const auto start = std::chrono::steady_clock::now();
  producer();
  thread.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// How far apart the two CPUs are: what a word takes there and back. Two-thread figures depend on
// it, and a hypervisor may change it from one second to the next.
void CacheLineRoundTrip(benchmark::State& state) {
  constexpr uint32_t kRounds = 20'000;
  for (auto _ : state) {
    alignas(128) std::atomic<uint32_t> there = 0;
    alignas(128) std::atomic<uint32_t> back = 0;
    state.SetIterationTime(RunTwo(
        [&] {
          for (uint32_t i = 1; i <= kRounds; ++i) {
            there.store(i, std::memory_order_release);
            while (back.load(std::memory_order_acquire) != i) {
            }
          }
        },
        [&] {
          for (uint32_t i = 1; i <= kRounds; ++i) {
            while (there.load(std::memory_order_acquire) != i) {
            }
            back.store(i, std::memory_order_release);
          }
        }));
  }
  state.SetItemsProcessed(state.iterations() * kRounds);
  state.counters["round_trip"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * kRounds,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(CacheLineRoundTrip)->UseManualTime()->Name("TwoThreads/cache_line");

template <typename Ends, uint64_t kMessages>
void TwoThreads(benchmark::State& state) {
  for (auto _ : state) {
    TestRing ring(kRingBytes);
    Ends ends(ring, static_cast<uint32_t>(state.range(0)));
    state.SetIterationTime(
        RunTwo([&] { ends.Produce(kMessages); }, [&] { ends.Consume(kMessages); }));
    if (!ends.ok()) state.SkipWithError("lost a packet");
  }
  state.SetItemsProcessed(state.iterations() * kMessages);
}

void RingTwo1(benchmark::State& state) { TwoThreads<RingEnds<1>, 400'000>(state); }
void RingTwo16(benchmark::State& state) { TwoThreads<RingEnds<16>, 400'000>(state); }
void BaselineTwo(benchmark::State& state) { TwoThreads<BaselineEnds, 400'000>(state); }

BENCHMARK(RingTwo1)->Arg(64)->UseManualTime()->Name("TwoThreads/ring/batch:1");
BENCHMARK(RingTwo16)->Arg(64)->UseManualTime()->Name("TwoThreads/ring/batch:16");
BENCHMARK(BaselineTwo)->Arg(64)->UseManualTime()->Name("TwoThreads/baseline");

void RingPingPong(benchmark::State& state) {
  constexpr uint64_t kRounds = 20'000;
  for (auto _ : state) {
    TestRing there(kRingBytes), back(kRingBytes);
    RingPlayer first(there, back), second(back, there);
    state.SetIterationTime(
        RunTwo([&] { first.Play(kRounds, true); }, [&] { second.Play(kRounds, false); }));
    if (!first.ok() || !second.ok()) state.SkipWithError("lost a packet");
  }
  state.SetItemsProcessed(state.iterations() * kRounds);
}
BENCHMARK(RingPingPong)->UseManualTime()->Name("PingPong/ring");

}  // namespace
}  // namespace vmbuskit
