// Load on a disk, as fio makes it: so many requests at a time, each followed by the next, for so long.
//
//   DiskLoad load(disk, executor, {.pattern = {.kind = IoPattern::Kind::kRandomRead}, .depth = 32});
//   co_await SwitchTo(executor);
//   absl::Status ran = co_await load.Run();
//   all.Merge(load.reads().latencies);
//
// Thread safety: Run and what it leaves on `executor`; RequestStop, operations and bytes from any thread.
// Lifetime: the disk is kept; destroyed on the executor, or when nothing runs it, after Run ended well.
// Run allocates before its first request and not after it. Units: bytes, durations as named.
// Errors: ResourceExhausted for buffers; Unavailable for a disk without a queue; what the first failed request ended
// with, naming its offset; DeadlineExceeded when requests never ended: then it must not be destroyed.
#ifndef VMBUSKIT_TOOLS_VMBUS_DISK_LOAD_H_
#define VMBUSKIT_TOOLS_VMBUS_DISK_LOAD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "framework/interfaces/block_device.h"
#include "framework/observe/latency_histogram.h"
#include "framework/task/one_shot.h"
#include "framework/task/task.h"
#include "platform/executor.h"
#include "tools/vmbus/io_pattern.h"

namespace vmbuskit {

class DiskLoad {
 public:
  struct Options {
    IoPattern pattern{};
    uint32_t depth = 1;  // requests at a time
    Duration duration = std::chrono::seconds(10);
    uint64_t operations_max = 0;  // 0: no limit
  };
  struct Totals {
    uint64_t operations = 0;
    uint64_t bytes = 0;
    LatencyHistogram latencies;
  };

  DiskLoad(std::shared_ptr<BlockDevice> disk, Executor& executor, const Options& options);
  ~DiskLoad();
  DiskLoad(const DiskLoad&) = delete;
  DiskLoad& operator=(const DiskLoad&) = delete;

  Task<absl::Status> Run();
  // It ends as soon as what is under way has ended.
  void RequestStop() { stop_.store(true, std::memory_order_relaxed); }

  const Totals& reads() const { return reads_; }
  const Totals& writes() const { return writes_; }
  Duration elapsed() const { return elapsed_; }
  // So far.
  uint64_t operations() const { return operations_.load(std::memory_order_relaxed); }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  class Slot;

  absl::Status Prepare();
  void SubmitNext(Slot& slot);
  void OnSlotDone(Slot& slot, BlockResult result);
  bool IsOver() const;

  const std::shared_ptr<BlockDevice> disk_;
  Executor& executor_;
  const Options options_;
  IoSequence sequence_;
  BlockBuffer buffer_;
  std::unique_ptr<BlockQueue> queue_;
  std::vector<std::unique_ptr<Slot>> slots_;
  Instant end_{};
  uint32_t under_way_ = 0;
  uint64_t submitted_ = 0;
  absl::Status failed_;
  Totals reads_;
  Totals writes_;
  Duration elapsed_{};
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> operations_ = 0;
  std::atomic<uint64_t> bytes_ = 0;
  OneShot<void> ended_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_DISK_LOAD_H_
