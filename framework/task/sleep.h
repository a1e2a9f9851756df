// Waits for an instant.
//
//   co_await SleepUntil(executor, executor.Now() + std::chrono::milliseconds(100));
//   absl::Status slept = co_await SleepUntilCancelled(executor, instant, scope);  // Ok: it came
//
// Thread safety: the executor's coroutine only. A sleeping coroutine may be destroyed.
#ifndef VMBUSKIT_FRAMEWORK_TASK_SLEEP_H_
#define VMBUSKIT_FRAMEWORK_TASK_SLEEP_H_

#include <coroutine>

#include "absl/status/status.h"
#include "framework/task/cancel.h"
#include "framework/task/waiter.h"
#include "platform/executor.h"

namespace vmbuskit {

class [[nodiscard]] SleepUntil {
 public:
  SleepUntil(Executor& executor, Instant instant) : waiter_(executor, instant) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> coroutine) { waiter_.Suspend(coroutine); }
  void await_resume() const {}

 private:
  Waiter waiter_;
};

// Ends early, with the scope's reason, when `scope` is cancelled.
class [[nodiscard]] SleepUntilCancelled : private Cancellable {
 public:
  SleepUntilCancelled(Executor& executor, Instant instant, CancelScope& scope)
      : scope_(scope), waiter_(executor, instant) {}
  bool await_ready() const { return scope_.cancelled(); }
  void await_suspend(std::coroutine_handle<> coroutine) {
    waiter_.Suspend(coroutine);
    scope_.Register(*this);
  }
  absl::Status await_resume() const {
    return waiter_.timed_out() ? absl::OkStatus() : scope_.reason();
  }

 private:
  friend class CancelScope;
  void OnCancel(const absl::Status& reason) override {
    (void)reason;
    waiter_.Wake();
  }

  CancelScope& scope_;
  Waiter waiter_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_TASK_SLEEP_H_
