// A gate that users enter and that its owner closes: nobody new comes in, and the owner waits until
// the last one inside has left. The first step of every tear-down.
//
//   Gate::Holder holder = gate_.Enter();
//   if (!holder) return absl::UnavailableError("device stops");
//   ...                                // works while `holder` lives
//   absl::Status drained = co_await gate_.Close(DeadlineIn(executor));
//
// Thread safety: its executor only. Lifetime: holders go before the gate; the destructor asserts
// that.
#ifndef VMBUSKIT_FRAMEWORK_TASK_GATE_H_
#define VMBUSKIT_FRAMEWORK_TASK_GATE_H_

#include <cassert>
#include <coroutine>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "framework/task/waiter.h"
#include "platform/executor.h"

namespace vmbuskit {

class Gate {
 public:
  // `name` stands in the error of a Close that ran into its deadline.
  Gate(Executor& executor, std::string name) : executor_(executor), name_(std::move(name)) {}
  ~Gate() { assert(holders_ == 0 && closing_.empty()); }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // Being inside. Empty when the gate was closed.
  class [[nodiscard]] Holder {
   public:
    Holder() = default;
    Holder(Holder&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Holder& operator=(Holder&& other) noexcept {
      if (this == &other) return *this;
      Leave();
      gate_ = std::exchange(other.gate_, nullptr);
      return *this;
    }
    ~Holder() { Leave(); }

    explicit operator bool() const { return gate_ != nullptr; }
    void Leave() {
      if (gate_ != nullptr) std::exchange(gate_, nullptr)->OnLeave();
    }

   private:
    friend class Gate;
    explicit Holder(Gate* gate) : gate_(gate) {}
    Gate* gate_ = nullptr;
  };

  Holder Enter() {
    if (closed_) return Holder();
    ++holders_;
    return Holder(this);
  }

  bool closed() const { return closed_; }
  uint32_t holders() const { return holders_; }

  class [[nodiscard]] Closing {
   public:
    Closing(Gate& gate, Instant deadline) : gate_(gate), waiter_(gate.executor_, deadline) {}
    bool await_ready() const { return gate_.holders_ == 0; }
    void await_suspend(std::coroutine_handle<> coroutine) {
      gate_.closing_.push_back(waiter_);
      waiter_.Suspend(coroutine);
    }
    // Ok when nobody is inside; DeadlineExceeded, naming gate and number, when somebody still is.
    // The gate is closed either way, and Close may be awaited again.
    absl::Status await_resume() const;

   private:
    Gate& gate_;
    Waiter waiter_;
  };

  // Closes at once; the wait is for those inside.
  Closing Close(Instant deadline) {
    closed_ = true;
    return Closing(*this, deadline);
  }

 private:
  void OnLeave() {
    if (--holders_ == 0) WakeAll(closing_);
  }

  Executor& executor_;
  const std::string name_;
  uint32_t holders_ = 0;
  bool closed_ = false;
  WaiterList closing_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_TASK_GATE_H_
