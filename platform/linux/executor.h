// An executor on a Linux thread: whoever calls Run() is its thread until Stop(). It sleeps in epoll when there is
// nothing to do, or busy-polls; which of the two can be changed at any time.
//
//   absl::StatusOr<std::unique_ptr<LinuxExecutor>> executor = LinuxExecutor::Create({.cpu = 1});
//   std::thread thread([&] { (*executor)->Run(); });       // or let ExecutorThread do both
//   (*executor)->SetMode(LinuxExecutor::Mode::kPoll);      // cross-CPU wake-ups cost tens of microseconds
//
// A turn handles what was pending when it began (events, then posted calls, then due timers, then due pollers), so
// nothing that wakes itself again starves the rest. Descriptors (FdWatch) are looked at before sleeping, and every
// Options::fd_poll_turns turns while there is always something to do.
//
// Thread safety: Post, IsCurrent, Event::Signal, Stop, SetMode, mode and counters from any thread; all else on the
// executor, or while nobody runs it. Lifetime: what belongs to the executor must be destroyed before it.
// Units: CLOCK_MONOTONIC nanoseconds; inside a turn Now() is read once. Nothing is allocated after Create.
#ifndef VMBUSKIT_PLATFORM_LINUX_EXECUTOR_H_
#define VMBUSKIT_PLATFORM_LINUX_EXECUTOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "platform/callback.h"
#include "platform/executor.h"
#include "platform/linux/epoll_set.h"
#include "platform/linux/event_stack.h"
#include "platform/linux/post_queue.h"
#include "platform/linux/relaxed_counter.h"
#include "platform/poller_list.h"
#include "platform/time.h"
#include "platform/timer_wheel.h"

namespace vmbuskit {

class LinuxExecutor final : public Executor {
 public:
  enum class Mode { kSleep, kPoll };

  struct Options {
    uint32_t cpu = 0;  // what cpu() says; pinning is ExecutorThread's
    Mode mode = Mode::kSleep;
    size_t post_capacity = 4096;  // calls posted and not run yet; at least 1
    // A polling executor gives its CPU to others for a moment after so many turns without work, for machines with
    // fewer CPUs than executors; 0: never.
    uint32_t idle_turns_before_yield = 1024;
    uint32_t fd_poll_turns = 64;  // at least 1
  };

  // Consistent enough to see whether something moves; not a snapshot of one moment.
  struct Counters {
    uint64_t turns = 0;
    uint64_t sleeps = 0;        // times it went to sleep
    uint64_t wakeups_sent = 0;  // times another thread had to wake it
    uint64_t events = 0;
    uint64_t posts = 0;
    uint64_t timers = 0;
    uint64_t pollers = 0;
    uint64_t fd_events = 0;
  };

  static absl::StatusOr<std::unique_ptr<LinuxExecutor>> Create(const Options& options);
  ~LinuxExecutor() override;
  LinuxExecutor(const LinuxExecutor&) = delete;
  LinuxExecutor& operator=(const LinuxExecutor&) = delete;

  Instant Now() const override;
  [[nodiscard]] bool Post(Callback call) override;
  bool IsCurrent() const override { return current_ == this; }
  uint32_t cpu() const override { return options_.cpu; }
  bool polls() const override { return mode() == Mode::kPoll; }

  // Makes turns until Stop. Events and calls that are pending by then still run (also what these lead to, for at
  // most kStopTurnsMax turns); timers and pollers do not. May be called again.
  void Run();
  void Stop();
  // One turn; with `may_sleep`, in sleep mode and without work it waits for some first. Whether anything ran.
  bool RunOnce(bool may_sleep = false);

  // Channels that were started on a polling executor stay polled, and keep it awake.
  void SetMode(Mode mode);
  Mode mode() const { return mode_.load(std::memory_order_relaxed); }
  Counters counters() const;
  // True while it waits in epoll, or is about to.
  bool sleeping() const { return sleeping_.load(std::memory_order_seq_cst); }

  EpollSet& epoll_set() { return *epoll_set_; }

  static constexpr int kStopTurnsMax = 1000;

 private:
  class CurrentScope;

  LinuxExecutor(const Options& options, std::unique_ptr<EpollSet> epoll_set);

  void EnqueueEvent(Event& event) override;
  void DetachEvent(Event& event) override;
  void ArmTimer(Timer& timer) override { timers_.Arm(timer); }
  void DisarmTimer(Timer& timer) override { timers_.Disarm(timer); }
  void AddPoller(Poller& poller) override { pollers_.Add(poller, Now()); }
  void RemovePoller(Poller& poller) override { pollers_.Remove(poller); }

  bool Turn(bool may_sleep);
  size_t RunEvents();
  size_t RunPosts();
  size_t RunTimersAndPollers();
  size_t DispatchFds();
  void Relax();
  bool Sleep();  // false: there was no time to, or something to do
  void Wake();
  bool HasPending() const;
  void CollectEvents();

  static thread_local const LinuxExecutor* current_;

  const Options options_;
  const std::unique_ptr<EpollSet> epoll_set_;
  std::atomic<Mode> mode_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> sleeping_ = false;

  EventStack signalled_;
  PostQueue posts_;

  // Taken from signalled_, in the order to run.
  Event* ready_first_ = nullptr;
  Event* ready_last_ = nullptr;
  size_t ready_count_ = 0;

  TimerWheel timers_;
  PollerList pollers_{Duration::zero()};
  uint32_t idle_turns_ = 0;
  uint32_t turns_since_fds_ = 0;
  mutable bool now_known_ = false;  // in this turn
  mutable Instant now_{};

  struct {
    RelaxedCounter turns, sleeps, events, posts, timers, pollers, fd_events;
    std::atomic<uint64_t> wakeups_sent = 0;
  } counters_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_EXECUTOR_H_
