#include "framework/channel/writable_wait.h"

#include "absl/strings/str_cat.h"
#include "framework/channel/channel.h"

namespace vmbuskit {

WritableWait::WritableWait(Channel& channel, Instant deadline)
    : channel_(channel), waiter_(channel.executor(), deadline), result_(channel.reason()) {}

// A channel that waits for room for an answer refused nobody, and tells nobody when it has it.
bool WritableWait::await_ready() const { return !result_.ok() || !channel_.RefusedSend(); }

void WritableWait::await_suspend(std::coroutine_handle<> coroutine) {
  channel_.AddWritableWait(*this);
  waiter_.Suspend(coroutine);
}

absl::Status WritableWait::await_resume() {
  unlink();
  if (!waiter_.timed_out()) return result_;
  return waiter_.DeadlineError(absl::StrCat("space on ", channel_.name()));
}

}  // namespace vmbuskit
