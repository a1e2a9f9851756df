// Something changed: wakes every coroutine that waits to look at the state again.
//
//   while (state_ == State::kRunning) co_await changed_.Wait();
//   ...
//   state_ = State::kStopping;
//   changed_.NotifyAll();
//
// For the bus's own waits for work to do, which end with the device or the bus. What waits for a
// peer has a deadline; a Wait with one returns false when that passed.
// Thread safety: its executor. Lifetime: nobody may wait any more when it goes. A waiting coroutine
// may be destroyed. Nobody is resumed inside NotifyAll, but at the next turn.
#ifndef VMBUSKIT_FRAMEWORK_BUS_CONDITION_H_
#define VMBUSKIT_FRAMEWORK_BUS_CONDITION_H_

#include <boost/intrusive/list.hpp>
#include <cassert>
#include <coroutine>

#include "platform/executor.h"
#include "platform/time.h"

namespace vmbuskit {

class Condition {
 public:
  explicit Condition(Executor& executor) : executor_(executor) {}
  ~Condition() { assert(waiting_.empty()); }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  class [[nodiscard]] Waiting : public boost::intrusive::list_base_hook<
                                    boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
   public:
    Waiting(Condition& condition, Instant deadline)
        : condition_(condition),
          deadline_(deadline),
          timer_(condition.executor_, Callback::To<&Waiting::OnDeadline>(this)),
          wake_(condition.executor_, Callback::To<&Waiting::OnWake>(this)) {}

    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) {
      coroutine_ = coroutine;
      condition_.waiting_.push_back(*this);
      timer_.Arm(deadline_);
    }
    bool await_resume() const { return !timed_out_; }

   private:
    friend class Condition;
    void OnWake() { coroutine_.resume(); }
    void OnDeadline() {
      timed_out_ = true;
      unlink();
      coroutine_.resume();
    }

    Condition& condition_;
    const Instant deadline_;
    std::coroutine_handle<> coroutine_;
    bool timed_out_ = false;
    Timer timer_;
    Event wake_;
  };

  Waiting Wait(Instant deadline = kInfiniteFuture) { return Waiting(*this, deadline); }

  void NotifyAll() {
    while (!waiting_.empty()) {
      Waiting& waiting = waiting_.front();
      waiting_.pop_front();
      waiting.timer_.Disarm();
      waiting.wake_.Signal();
    }
  }

 private:
  using List = boost::intrusive::list<Waiting, boost::intrusive::constant_time_size<false>>;

  Executor& executor_;
  List waiting_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_CONDITION_H_
