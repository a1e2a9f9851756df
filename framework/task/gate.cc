#include "framework/task/gate.h"

#include "absl/strings/str_cat.h"

namespace vmbuskit {

absl::Status Gate::Closing::await_resume() const {
  if (!waiter_.timed_out()) return absl::OkStatus();
  return waiter_.DeadlineError(
      absl::StrCat(gate_.name_, " to drain, ", gate_.holders_, " still inside"));
}

}  // namespace vmbuskit
