#include "tools/vmbus/load_runner.h"

#include <algorithm>
#include <utility>

#include "framework/task/deadline.h"
#include "framework/task/sleep.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {

LoadRunner::LoadRunner(Executor& executor, const std::vector<Place>& places,
                       const DiskLoad::Options& options)
    : executor_(executor), running_(executor, "loads") {
  for (size_t i = 0; i < places.size(); ++i) {
    DiskLoad::Options one = options;
    one.pattern.seed = options.pattern.seed + i;
    one.pattern.first_offset = places[i].disk->bytes() / places.size() * i;
    executors_.push_back(places[i].executor);
    loads_.push_back(std::make_unique<DiskLoad>(places[i].disk, *places[i].executor, one));
  }
}

Task<void> LoadRunner::RunOne(size_t index) {
  co_await SwitchTo(*executors_[index]);
  const absl::Status ran = co_await loads_[index]->Run();
  co_await SwitchTo(executor_);
  // Before all others: a load with requests under way must not be destroyed, and the caller has to know.
  if (status_.ok() || absl::IsDeadlineExceeded(ran)) status_ = ran;
  // One that failed leaves nothing to compare the others with.
  if (!ran.ok()) {
    for (const std::unique_ptr<DiskLoad>& load : loads_) load->RequestStop();
  }
}

Task<absl::Status> LoadRunner::Run(CancelScope& until,
                                   std::function<void(const LoadProgress&)> progress) {
  const Instant start = executor_.Now();
  for (size_t i = 0; i < loads_.size(); ++i) running_.Spawn(RunOne(i));
  LoadProgress last;
  uint64_t operations_before = 0, bytes_before = 0;
  while (running_.running() != 0) {
    const Instant next = executor_.Now() + kStep;
    const absl::Status ended = co_await running_.Join(next);
    if (until.cancelled()) {
      for (const std::unique_ptr<DiskLoad>& load : loads_) load->RequestStop();
    }
    uint64_t operations = 0, bytes = 0;
    for (const std::unique_ptr<DiskLoad>& load : loads_) {
      operations += load->operations();
      bytes += load->bytes();
    }
    const Duration elapsed = executor_.Now() - start;
    last = {.elapsed = elapsed,
            .step = elapsed - last.elapsed,
            .operations = operations - std::exchange(operations_before, operations),
            .bytes = bytes - std::exchange(bytes_before, bytes)};
    if (!ended.ok()) progress(last);
  }
  co_return status_;
}

LoadTotals LoadRunner::Totals() const {
  LoadTotals totals;
  const auto add = [](DiskLoad::Totals& to, const DiskLoad::Totals& from) {
    to.operations += from.operations;
    to.bytes += from.bytes;
    to.latencies.Merge(from.latencies);
  };
  for (const std::unique_ptr<DiskLoad>& load : loads_) {
    add(totals.reads, load->reads());
    add(totals.writes, load->writes());
    totals.elapsed = std::max(totals.elapsed, load->elapsed());
  }
  return totals;
}

}  // namespace vmbuskit
