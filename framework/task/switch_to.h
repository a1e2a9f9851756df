// Continues the coroutine on another executor, or at the next turn of this one.
//
//   co_await SwitchTo(bus.executor());      // at once when already there
//   ... bus state ...
//   co_await SwitchTo(device_executor);
//   co_await NextTurn(executor);            // lets other work run first
//
// Cannot fail and allocates nothing: the wake-up lives in the coroutine's frame.
// Thread safety: between its executors nothing of the coroutine runs. A coroutine that is suspended
// here may be destroyed only on the executor that it goes to.
#ifndef VMBUSKIT_FRAMEWORK_TASK_SWITCH_TO_H_
#define VMBUSKIT_FRAMEWORK_TASK_SWITCH_TO_H_

#include <coroutine>

#include "platform/callback.h"
#include "platform/executor.h"

namespace vmbuskit {

class [[nodiscard]] NextTurn {
 public:
  explicit NextTurn(Executor& executor)
      : arrival_(executor, Callback::To<&NextTurn::Resume>(this)) {}
  NextTurn(const NextTurn&) = delete;
  NextTurn& operator=(const NextTurn&) = delete;

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> coroutine) {
    coroutine_ = coroutine;
    arrival_.Signal();  // the coroutine may run, and end, before this returns
  }
  void await_resume() const {}

 protected:
  Executor& destination() const { return arrival_.executor(); }

 private:
  void Resume() { coroutine_.resume(); }

  std::coroutine_handle<> coroutine_;
  Event arrival_;
};

class [[nodiscard]] SwitchTo : public NextTurn {
 public:
  explicit SwitchTo(Executor& executor) : NextTurn(executor) {}
  bool await_ready() const { return destination().IsCurrent(); }
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_TASK_SWITCH_TO_H_
