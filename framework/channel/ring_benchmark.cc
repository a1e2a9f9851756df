// What a packet costs on the ring, against a baseline that works the way most drivers do (ring_baseline.h).
//
//   bazel run -c opt //framework/channel:ring_benchmark -- --benchmark_filter=WriteRead --benchmark_format=json
//
// WriteRead: one thread writes a batch and reads it. TwoThreads: a producer and a polling consumer, pinned to CPUs 0
// and 1 where there are two. PingPong: one packet there and back between two polling threads.
#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <thread>

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

void Pin(uint32_t which) {
  const auto cpus = AllowedCpus();
  if (cpus.size() > 1) (void)PinCurrentThread(cpus[which % cpus.size()]);
}

// Runs `producer` here and `consumer` on another thread, both from the same moment; seconds until both ended.
template <typename Producer, typename Consumer>
double RunTwo(Producer producer, Consumer consumer) {
  std::atomic<int> ready = 0;
  const auto meet = [&ready] {
    ready.fetch_add(1);
    for (Spin spin; ready.load() < 2;) spin.Pause();
  };
  std::thread thread([&] {
    Pin(1);
    meet();
    consumer();
  });
  Pin(0);
  meet();
  const auto start = std::chrono::steady_clock::now();
  producer();
  thread.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

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

void RingTwo1(benchmark::State& state) { TwoThreads<RingEnds<1>, 500'000>(state); }
void RingTwo16(benchmark::State& state) { TwoThreads<RingEnds<16>, 1'000'000>(state); }
void BaselineTwo(benchmark::State& state) { TwoThreads<BaselineEnds, 500'000>(state); }

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
