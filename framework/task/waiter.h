// What a suspended coroutine sleeps on: woken by somebody, or by its deadline, whichever comes
// first. The building block of OneShot, Gate, TaskGroup and the sleeps; drivers use those.
//
//   void await_suspend(std::coroutine_handle<> self) { waiter_.Suspend(self); }
//   absl::Status await_resume() {
//     return waiter_.timed_out() ? waiter_.DeadlineError("a reply") : absl::OkStatus();
//   }
//
// A waiter never resumes inside Wake but at the next turn of its executor, so that whoever wakes it
// needs no care about what the coroutine does. It lives in the coroutine's frame; destroying the
// frame while suspended takes the waiter out of everything (list, timer, event). Thread safety: its
// executor only.
#ifndef VMBUSKIT_FRAMEWORK_TASK_WAITER_H_
#define VMBUSKIT_FRAMEWORK_TASK_WAITER_H_

#include <boost/intrusive/list.hpp>
#include <coroutine>
#include <string_view>

#include "absl/status/status.h"
#include "platform/executor.h"
#include "platform/time.h"

namespace vmbuskit {

class Waiter : public boost::intrusive::list_base_hook<
                   boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  Waiter(Executor& executor, Instant deadline);
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // From await_suspend: remembers whom to resume and starts the deadline.
  void Suspend(std::coroutine_handle<> coroutine);
  // Resumes at the next turn; the deadline does not count any more. Again: no effect.
  void Wake();

  bool timed_out() const { return timed_out_; }
  // DeadlineExceeded that names `what` was waited for and how long.
  absl::Status DeadlineError(std::string_view what) const;

 private:
  void OnWake() { coroutine_.resume(); }
  void OnDeadline();

  Executor& executor_;
  const Instant deadline_;
  Instant since_{};
  std::coroutine_handle<> coroutine_;
  bool timed_out_ = false;
  Timer timer_;
  Event wake_;
};

// Coroutines that wait for the same thing. Must be empty when destroyed.
using WaiterList = boost::intrusive::list<Waiter, boost::intrusive::constant_time_size<false>>;

// Takes every waiter out of `list` and wakes it.
void WakeAll(WaiterList& list);

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_TASK_WAITER_H_
