// Several loads at a time, on executors of their own, watched from one.
//
//   LoadRunner runner(executor, std::move(loads));
//   absl::Status ran = co_await runner.Run(until_interrupt, [&](const LoadProgress& progress) { Draw(progress); });
//   LoadTotals totals = runner.Totals();
//
// Thread safety: `executor`'s. Lifetime: destroyed after Run, when no executor of a load runs any more or none of them
// was left with requests (see DiskLoad). Errors: DeadlineExceeded if any load ended so, else
// the first of the loads.
#ifndef VMBUSKIT_TOOLS_VMBUS_LOAD_RUNNER_H_
#define VMBUSKIT_TOOLS_VMBUS_LOAD_RUNNER_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "framework/task/cancel.h"
#include "framework/task/spawn.h"
#include "framework/task/task.h"
#include "platform/executor.h"
#include "tools/vmbus/disk_load.h"

namespace vmbuskit {

struct LoadProgress {
  Duration elapsed{};
  Duration step{};          // since the last time
  uint64_t operations = 0;  // in that step
  uint64_t bytes = 0;
};

struct LoadTotals {
  DiskLoad::Totals reads{};
  DiskLoad::Totals writes{};
  Duration elapsed{};  // of the longest
};

class LoadRunner {
 public:
  static constexpr Duration kStep = std::chrono::milliseconds(250);

  struct Place {
    std::shared_ptr<BlockDevice> disk;
    Executor* executor = nullptr;
  };

  // A load for each place; sequential ones share out the disk.
  LoadRunner(Executor& executor, const std::vector<Place>& places,
             const DiskLoad::Options& options);

  Task<absl::Status> Run(CancelScope& until, std::function<void(const LoadProgress&)> progress);
  LoadTotals Totals() const;

 private:
  Task<void> RunOne(size_t index);

  Executor& executor_;
  std::vector<Executor*> executors_;
  std::vector<std::unique_ptr<DiskLoad>> loads_;
  absl::Status status_;
  TaskGroup running_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_LOAD_RUNNER_H_
