// Runs a known number of packets, for an instruction counter: the difference of two runs divided by
// the difference of their packets is exact, the same on every run and machine of one architecture.
//
//   valgrind --tool=callgrind --callgrind-out-file=/dev/null ring_instructions ring 64 16 100000
//   valgrind --tool=callgrind --callgrind-out-file=/dev/null ring_instructions ring 64 16 300000
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "framework/channel/ring_workload.h"

namespace vmbuskit {
namespace {

template <typename Workload>
int Run(uint32_t payload_bytes, uint64_t batches) {
  TestRing ring(256 * 1024);
  Workload work(ring, payload_bytes);
  if (!work.Run(batches)) return 1;
  std::printf("%llu signals, sum %llu\n", static_cast<unsigned long long>(work.signals()),
              static_cast<unsigned long long>(work.sum()));
  return 0;
}

template <uint32_t kBatch>
int RunKind(std::string_view kind, uint32_t payload_bytes, uint64_t packets) {
  if (kind == "ring") return Run<RingWorkload<kBatch, false>>(payload_bytes, packets / kBatch);
  if (kind == "in_place") return Run<RingWorkload<kBatch, true>>(payload_bytes, packets / kBatch);
  if (kind == "baseline") return Run<BaselineWorkload<kBatch>>(payload_bytes, packets / kBatch);
  return 2;
}

int Main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s ring|in_place|baseline PAYLOAD_BYTES 1|16 PACKETS\n", argv[0]);
    return 2;
  }
  const auto payload_bytes = static_cast<uint32_t>(std::atoi(argv[2]));
  const auto packets = static_cast<uint64_t>(std::atoll(argv[4]));
  if (std::string_view(argv[3]) == "16") return RunKind<16>(argv[1], payload_bytes, packets);
  return RunKind<1>(argv[1], payload_bytes, packets);
}

}  // namespace
}  // namespace vmbuskit

int main(int argc, char** argv) { return vmbuskit::Main(argc, argv); }
