// Deadlines of control sequences. There is no wait without one (design section 3).
//
//   absl::StatusOr<Reply> reply = co_await answer.Wait(DeadlineIn(executor));            // 60 s
//   absl::Status drained = co_await gate.Close(DeadlineIn(executor, std::chrono::seconds(5)));
//
// Thread safety: plain functions; DeadlineIn only on `executor`.
// Source: protocol 30 and Linux both allow a busy host tens of seconds for a reply; 15 s were seen.
#ifndef VMBUSKIT_FRAMEWORK_TASK_DEADLINE_H_
#define VMBUSKIT_FRAMEWORK_TASK_DEADLINE_H_

#include <string>

#include "platform/executor.h"
#include "platform/time.h"

namespace vmbuskit {

inline constexpr Duration kDefaultDeadline = std::chrono::seconds(60);

inline Instant DeadlineIn(const Executor& executor, Duration duration = kDefaultDeadline) {
  return executor.Now() + duration;
}

// For people: "60 s", "1.5 ms", "250 ns".
std::string FormatDuration(Duration duration);

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_TASK_DEADLINE_H_
