// For tests: runs a task to its end in virtual time.
//
//   std::optional<absl::Status> status = RunTask(sim, executor, device.Start());
//   ASSERT_TRUE(status.has_value());   // it ended
//
// A task that did not end within `limit` of virtual time is destroyed and the result is empty
// (false for void).
// Thread safety: the scheduler's thread.
#ifndef VMBUSKIT_FRAMEWORK_TASK_RUN_TASK_H_
#define VMBUSKIT_FRAMEWORK_TASK_RUN_TASK_H_

#include <optional>
#include <utility>

#include "framework/task/spawn.h"
#include "framework/task/task.h"
#include "platform/sim/scheduler.h"
#include "platform/time.h"

namespace vmbuskit {

inline constexpr Duration kRunTaskLimit = std::chrono::minutes(10);

inline Task<void> MarkEnd(Task<void> task, bool* ended) {
  co_await task;
  *ended = true;
}

template <typename T>
Task<void> KeepResult(Task<T> task, std::optional<T>* result) {
  result->emplace(co_await task);
}

// True when `task` ended.
inline bool RunTask(SimScheduler& sim, Executor& executor, Task<void> task,
                    Duration limit = kRunTaskLimit) {
  TaskGroup group(executor, "RunTask");
  bool ended = false;
  group.Spawn(MarkEnd(std::move(task), &ended));
  sim.RunUntil([&] { return group.running() == 0; }, limit);
  group.DestroyAll();
  return ended;
}

template <typename T>
std::optional<T> RunTask(SimScheduler& sim, Executor& executor, Task<T> task,
                         Duration limit = kRunTaskLimit) {
  std::optional<T> result;
  RunTask(sim, executor, KeepResult(std::move(task), &result), limit);
  return result;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_TASK_RUN_TASK_H_
