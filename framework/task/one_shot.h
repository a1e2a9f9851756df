// One answer that somebody gives once and one coroutine waits for.
//
//   OneShot<OpenResult> answer(executor, "OPEN_CHANNEL_RESULT of channel 5", &scope);
//   pending_ = &answer;                // the message handler calls pending_->Set(...)
//   absl::StatusOr<OpenResult> result = co_await answer.Wait(DeadlineIn(executor));
//
// A wait ends in exactly one of: the value (also one set before the wait began), the status given
// to Fail (or by the scope's Cancel), DeadlineExceeded that names what was waited for and how long.
// Set never resumes the coroutine inside: that happens at the next turn of the executor. When value
// and deadline come at the same instant, the one that the executor serves first wins and the other
// changes nothing. OneShot<void> is an event: Set() and a wait that returns absl::Status.
//
// Thread safety: its executor only. Lifetime: must not be destroyed while a coroutine waits; the
// coroutine may be destroyed while it waits. After a deadline one may wait again.
#ifndef VMBUSKIT_FRAMEWORK_TASK_ONE_SHOT_H_
#define VMBUSKIT_FRAMEWORK_TASK_ONE_SHOT_H_

#include <cassert>
#include <coroutine>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/task/cancel.h"
#include "framework/task/deadline.h"
#include "framework/task/waiter.h"
#include "platform/executor.h"

namespace vmbuskit {

template <typename T>
class OneShot final : public Cancellable {
 public:
  using Result = std::conditional_t<std::is_void_v<T>, absl::Status, absl::StatusOr<T>>;

  OneShot(Executor& executor, std::string what, CancelScope* scope = nullptr)
      : executor_(executor), what_(std::move(what)) {
    if (scope != nullptr) scope->Register(*this);
  }
  ~OneShot() override { assert(waiter_ == nullptr); }
  OneShot(const OneShot&) = delete;
  OneShot& operator=(const OneShot&) = delete;

  // The answer. False, and without effect, when there was one already.
  template <typename U = T>
    requires(!std::is_void_v<T>)
  bool Set(U value) {
    return End(Result(std::move(value)));
  }
  bool Set()
    requires(std::is_void_v<T>)
  {
    return End(absl::OkStatus());
  }
  // There will be no answer. The same rule.
  bool Fail(const absl::Status& reason) {
    assert(!reason.ok());
    return End(reason);
  }
  bool is_set() const { return result_.has_value(); }
  const std::string& what() const { return what_; }

  class [[nodiscard]] Awaiter {
   public:
    Awaiter(OneShot& one_shot, Instant deadline)
        : one_shot_(one_shot), waiter_(one_shot.executor_, deadline) {}
    ~Awaiter() { Leave(); }
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;

    bool await_ready() const { return one_shot_.is_set(); }
    void await_suspend(std::coroutine_handle<> coroutine) {
      assert(one_shot_.waiter_ == nullptr && "one coroutine waits");
      one_shot_.waiter_ = &waiter_;
      waiter_.Suspend(coroutine);
    }
    Result await_resume() {
      Leave();
      if (waiter_.timed_out()) return waiter_.DeadlineError(one_shot_.what_);
      return std::move(*one_shot_.result_);
    }

   private:
    void Leave() {
      if (one_shot_.waiter_ == &waiter_) one_shot_.waiter_ = nullptr;
    }

    OneShot& one_shot_;
    Waiter waiter_;
  };

  Awaiter Wait(Instant deadline) { return Awaiter(*this, deadline); }
  Awaiter Wait() { return Awaiter(*this, DeadlineIn(executor_)); }

 private:
  void OnCancel(const absl::Status& reason) override { End(reason); }

  bool End(Result result) {
    if (result_.has_value()) return false;
    result_.emplace(std::move(result));
    if (waiter_ != nullptr) waiter_->Wake();
    return true;
  }

  Executor& executor_;
  const std::string what_;
  Waiter* waiter_ = nullptr;
  std::optional<Result> result_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_TASK_ONE_SHOT_H_
