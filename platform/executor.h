// An executor runs everything that belongs to one CPU. Every object of the framework belongs to
// exactly one executor and is touched only from it; between executors there are Event::Signal and
// Executor::Post.
//
//   Event wake(executor, Callback::To<&Device::OnWake>(this));   // once
//   wake.Signal();                                               // any thread; coalesces; never
//   fails Timer timer(executor, Callback::To<&Device::OnDeadline>(this)); timer.Arm(executor.Now()
//   + std::chrono::seconds(60));        // owner only
//
// Implementations: platform/linux (one thread each, sleeping or busy-polling) and platform/sim
// (many executors on one thread under a seeded scheduler with virtual time).
//
// Thread safety: Signal, Post and IsCurrent may be called from any thread; all else only on the
// executor itself (or before it first runs, or after it last ran). Events, timers and pollers are
// owned by their users, must be destroyed on their executor and must not outlive it.
#ifndef VMBUSKIT_PLATFORM_EXECUTOR_H_
#define VMBUSKIT_PLATFORM_EXECUTOR_H_

#include <atomic>
#include <boost/intrusive/list_hook.hpp>
#include <cstdint>

#include "platform/callback.h"
#include "platform/time.h"

namespace vmbuskit {

class Event;
class Poller;
class Timer;

class Executor {
 public:
  virtual ~Executor() = default;

  // Monotonic time. Cheap; may be cached for one turn of the loop.
  virtual Instant Now() const = 0;

  // Runs `call` on this executor, after calls posted before it from the same thread. False when the
  // bounded queue is full: nothing was queued and the caller keeps the duty.
  [[nodiscard]] virtual bool Post(Callback call) = 0;

  // True on the thread (or in the simulated turn) that runs this executor now.
  virtual bool IsCurrent() const = 0;

  // Index of the virtual processor or CPU that this executor stands for.
  virtual uint32_t cpu() const = 0;

  // True when it busy-polls: it makes turns without being woken, so whoever brings it work need not signal it.
  virtual bool polls() const { return false; }

 private:
  friend class Event;
  friend class Poller;
  friend class Timer;

  virtual void EnqueueEvent(Event& event) = 0;  // any thread; `event` was idle until now
  virtual void DetachEvent(Event& event) = 0;
  virtual void ArmTimer(Timer& timer) = 0;  // timer.deadline() is set
  virtual void DisarmTimer(Timer& timer) = 0;
  virtual void AddPoller(Poller& poller) = 0;
  virtual void RemovePoller(Poller& poller) = 0;
};

// A wake-up that can be signalled from any thread. Signals before the handler runs coalesce into
// one call; a signal during or after the handler leads to another. Never allocates, blocks or
// fails.
class Event {
 public:
  Event(Executor& executor, Callback handler) : executor_(executor), handler_(handler) {}
  ~Event() {
    if (pending_.load(std::memory_order_acquire)) executor_.DetachEvent(*this);
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void Signal() {
    if (!pending_.exchange(true, std::memory_order_acq_rel)) executor_.EnqueueEvent(*this);
  }
  // Owner only: forgets signals that were not handled yet. One that is being made on another thread
  // at this moment may count as made afterwards; destroy an event only when nobody signals it any
  // more.
  void Cancel() {
    if (pending_.load(std::memory_order_acquire)) executor_.DetachEvent(*this);
  }
  bool pending() const { return pending_.load(std::memory_order_acquire); }
  Executor& executor() const { return executor_; }

  // For executors. `next` links pending events; RunHandler clears the mark first, so that a signal
  // during the handler is not lost. The mark is cleared by an exchange, not a store: a signal that
  // still found it set did not enqueue, so what was written before that signal must be visible to
  // the handler that runs now.
  Event* next = nullptr;
  void RunHandler() {
    ClearPending();
    handler_();
  }
  void ClearPending() { pending_.exchange(false, std::memory_order_acq_rel); }

 private:
  Executor& executor_;
  const Callback handler_;
  std::atomic<bool> pending_ = false;
};

// A deadline. Arm and Disarm take constant time and never allocate (a timer wheel holds the
// timers).
class Timer : public boost::intrusive::list_base_hook<> {
 public:
  Timer(Executor& executor, Callback handler) : executor_(executor), handler_(handler) {}
  ~Timer() { Disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Calls the handler once at or after `deadline`; replaces an earlier deadline. A deadline in the
  // past fires at the next turn. kInfiniteFuture disarms.
  void Arm(Instant deadline) {
    Disarm();
    if (deadline == kInfiniteFuture) return;
    deadline_ = deadline;
    executor_.ArmTimer(*this);
  }
  void Disarm() {
    if (armed()) executor_.DisarmTimer(*this);
  }
  bool armed() const { return is_linked(); }
  Instant deadline() const { return deadline_; }

  // For executors: called after the timer was unlinked.
  void RunHandler() { handler_(); }
  // For the timer wheel: where it keeps this timer.
  uint32_t wheel_slot = 0;

 private:
  Executor& executor_;
  const Callback handler_;
  Instant deadline_{};
};

// Work that has no wake-up. A poller with period zero is called at every turn of a busy-polling
// executor; one with a longer period about that often, in both modes. A period of zero keeps a
// sleeping executor awake.
class Poller : public boost::intrusive::list_base_hook<> {
 public:
  Poller(Executor& executor, Callback handler, Duration period = Duration::zero())
      : executor_(executor), handler_(handler), period_(period) {}
  ~Poller() { Stop(); }
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  void Start() {
    if (!is_linked()) executor_.AddPoller(*this);
  }
  void Stop() {
    if (is_linked()) executor_.RemovePoller(*this);
  }
  Duration period() const { return period_; }

  // For executors.
  void RunHandler() { handler_(); }
  Instant next_run{};

 private:
  Executor& executor_;
  const Callback handler_;
  const Duration period_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_EXECUTOR_H_
