#include "framework/task/waiter.h"

#include <cassert>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"
#include "framework/task/deadline.h"

namespace vmbuskit {

Waiter::Waiter(Executor& executor, Instant deadline)
    : executor_(executor),
      deadline_(deadline),
      timer_(executor, Callback::To<&Waiter::OnDeadline>(this)),
      wake_(executor, Callback::To<&Waiter::OnWake>(this)) {}

void Waiter::Suspend(std::coroutine_handle<> coroutine) {
  assert(deadline_ != kInfiniteFuture && "every wait has a deadline");
  coroutine_ = coroutine;
  since_ = executor_.Now();
  timer_.Arm(deadline_);
}

void Waiter::Wake() {
  timer_.Disarm();
  wake_.Signal();
}

void Waiter::OnDeadline() {
  timed_out_ = true;
  unlink();
  coroutine_.resume();  // may free this
}

absl::Status Waiter::DeadlineError(std::string_view what) const {
  return absl::DeadlineExceededError(
      absl::StrCat("waited ", FormatDuration(executor_.Now() - since_), " for ", ToAbsl(what)));
}

void WakeAll(WaiterList& list) {
  while (!list.empty()) {
    Waiter& waiter = list.front();
    list.pop_front();
    waiter.Wake();
  }
}

}  // namespace vmbuskit
