// What a packet and a request cost through whole channels, both ends in one thread.
//
//   bazel run -c opt //framework/channel:channel_benchmark -- --benchmark_format=json
//
// OneWay: the guest sends a batch, the host's handler gets it. Request: the guest sends a batch of
// requests with deadlines, the host completes them, the requests end. Compare with WriteRead of
// ring_benchmark.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "framework/channel/channel.h"
#include "framework/channel/channel_pair.h"
#include "framework/channel/recording.h"
#include "framework/task/deadline.h"

namespace vmbuskit {
namespace {

class Sink : public ChannelHandler {
 public:
  void OnPacket(Channel& channel, const Packet& packet) override {
    if (packet.completion_requested) {
      refused += channel.Complete(packet.transaction_id, packet.payload) != SendResult::kOk;
    }
    ++packets;
  }
  uint64_t packets = 0;
  uint64_t refused = 0;
};

class Answered : public Request {
 public:
  void OnEnd(RequestEnd end, const Packet*) override { completed += end == RequestEnd::kCompleted; }
  uint64_t completed = 0;
};

struct Setup {
  Setup() : pair({.up_bytes = 256 * 1024, .down_bytes = 256 * 1024}) {
    pair.guest().Start(guest);
    pair.host().Start(host);
    (void)pair.Run();
  }
  Sink guest;
  Sink host;
  ChannelPair pair;
};

void Report(benchmark::State& state, int64_t batch, bool lost) {
  const int64_t packets = state.iterations() * batch;
  state.SetItemsProcessed(packets);
  state.counters["per_packet"] = benchmark::Counter(
      static_cast<double>(packets), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  if (lost) state.SkipWithError("lost a packet");
}

void OneWay(benchmark::State& state) {
  Setup setup;
  const int64_t batch = state.range(0);
  const std::string payload(static_cast<size_t>(state.range(1)), 'p');
  uint64_t refused = 0;
  for (auto _ : state) {
    {
      Channel::Batch together(setup.pair.guest());
      for (int64_t i = 0; i < batch; ++i) {
        refused += setup.pair.guest().Send({.payload = TextBytes(payload)}) != SendResult::kOk;
      }
    }
    setup.pair.host().OnSignal();
  }
  const auto sent = static_cast<uint64_t>(state.iterations() * batch);
  Report(state, batch, refused != 0 || setup.host.packets != sent);
}
BENCHMARK(OneWay)->ArgNames({"batch", "bytes"})->ArgsProduct({{1, 16}, {64, 1024}});

void RoundTrip(benchmark::State& state) {
  const auto batch = static_cast<size_t>(state.range(0));
  std::vector<Answered> requests(batch);
  Setup setup;
  const std::string payload(static_cast<size_t>(state.range(1)), 'p');
  uint64_t refused = 0;
  for (auto _ : state) {
    const Instant deadline = DeadlineIn(setup.pair.guest_executor());
    {
      Channel::Batch together(setup.pair.guest());
      for (Answered& request : requests) {
        refused += setup.pair.guest().SendRequest({.payload = TextBytes(payload)}, request,
                                                  deadline) != SendResult::kOk;
      }
    }
    setup.pair.host().OnSignal();
    setup.pair.guest().OnSignal();
  }
  uint64_t completed = 0;
  for (const Answered& request : requests) completed += request.completed;
  Report(state, state.range(0),
         refused != 0 || completed != static_cast<uint64_t>(state.iterations()) * batch);
}
BENCHMARK(RoundTrip)->Name("Request")->ArgNames({"batch", "bytes"})->ArgsProduct({{1, 16}, {64}});

}  // namespace
}  // namespace vmbuskit
