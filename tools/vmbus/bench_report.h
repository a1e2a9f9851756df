// What `vmbus bench disk` shows: a bar while it runs, figures at the end.
//
//   PrintText(view.Update(BenchBar(progress, seconds)));
//   PrintText(BenchText(setup, totals));               // or BenchJson
//
// Thread safety: pure functions. Units: GB/s are 10^9 bytes a second; latencies in microseconds, in JSON nanoseconds.
#ifndef VMBUSKIT_TOOLS_VMBUS_BENCH_REPORT_H_
#define VMBUSKIT_TOOLS_VMBUS_BENCH_REPORT_H_

#include <cstdint>
#include <string>

#include "tools/vmbus/load_runner.h"

namespace vmbuskit {

struct BenchSetup {
  std::string disk;  // as people wrote it
  std::string path;  // "driver", "backend"
  IoPattern::Kind kind = IoPattern::Kind::kRandomRead;
  uint32_t block_bytes = 4096;
  uint32_t depth = 1;
  uint32_t jobs = 1;
  bool poll = false;
  bool prefill = false;  // the disk was written before
};

std::string BenchBar(const LoadProgress& progress, Duration whole);
// While the disk is written before; `part` of it is, 0 to 1.
std::string PrefillBar(const LoadProgress& progress, double part);
std::string BenchText(const BenchSetup& setup, const LoadTotals& totals);
std::string BenchJson(const BenchSetup& setup, const LoadTotals& totals);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_BENCH_REPORT_H_
