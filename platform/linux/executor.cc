#include "platform/linux/executor.h"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

Instant ReadClock() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return Instant(std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec));
}

void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

thread_local const LinuxExecutor* LinuxExecutor::current_ = nullptr;

class LinuxExecutor::CurrentScope {
 public:
  explicit CurrentScope(const LinuxExecutor* executor) : previous_(current_) {
    current_ = executor;
  }
  ~CurrentScope() { current_ = previous_; }
  CurrentScope(const CurrentScope&) = delete;
  CurrentScope& operator=(const CurrentScope&) = delete;

 private:
  const LinuxExecutor* const previous_;
};

absl::StatusOr<std::unique_ptr<LinuxExecutor>> LinuxExecutor::Create(const Options& options) {
  if (options.post_capacity == 0 || options.fd_poll_turns == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("executor of cpu ", options.cpu, ": post_capacity is ", options.post_capacity,
                     ", fd_poll_turns is ", options.fd_poll_turns, ", both must be at least 1"));
  }
  absl::StatusOr<std::unique_ptr<EpollSet>> epoll_set = EpollSet::Create();
  if (!epoll_set.ok()) return epoll_set.status();
  return std::unique_ptr<LinuxExecutor>(new LinuxExecutor(options, *std::move(epoll_set)));
}

LinuxExecutor::LinuxExecutor(const Options& options, std::unique_ptr<EpollSet> epoll_set)
    : options_(options),
      epoll_set_(std::move(epoll_set)),
      mode_(options.mode),
      posts_(options.post_capacity) {}

LinuxExecutor::~LinuxExecutor() {
  assert(signalled_.empty() && ready_first_ == nullptr && "an event outlives its executor");
}

Instant LinuxExecutor::Now() const {
  if (!IsCurrent()) return ReadClock();
  if (!now_known_) {
    now_ = ReadClock();
    now_known_ = true;
  }
  return now_;
}

bool LinuxExecutor::Post(Callback call) {
  if (!posts_.Push(call)) return false;
  Wake();
  return true;
}

void LinuxExecutor::Run() {
  const CurrentScope scope(this);
  while (!stop_.load(std::memory_order_seq_cst)) Turn(/*may_sleep=*/true);
  now_known_ = false;
  for (int turn = 0; turn < kStopTurnsMax; ++turn) {
    if (RunEvents() + RunPosts() == 0) break;
  }
  stop_.store(false, std::memory_order_seq_cst);
}

void LinuxExecutor::Stop() {
  stop_.store(true, std::memory_order_seq_cst);
  Wake();
}

bool LinuxExecutor::RunOnce(bool may_sleep) {
  const CurrentScope scope(this);
  return Turn(may_sleep);
}

void LinuxExecutor::SetMode(Mode mode) {
  mode_.store(mode, std::memory_order_seq_cst);
  Wake();
}

LinuxExecutor::Counters LinuxExecutor::counters() const {
  return {.turns = counters_.turns.value(),
          .sleeps = counters_.sleeps.value(),
          .wakeups_sent = counters_.wakeups_sent.load(std::memory_order_relaxed),
          .events = counters_.events.value(),
          .posts = counters_.posts.value(),
          .timers = counters_.timers.value(),
          .pollers = counters_.pollers.value(),
          .fd_events = counters_.fd_events.value()};
}

void LinuxExecutor::EnqueueEvent(Event& event) {
  signalled_.Push(event);
  Wake();
}

// Why no wake-up is lost. The sleeper stores sleeping_ and then looks for work (Sleep); whoever brings work stores
// it and then looks at sleeping_ (here). All four are sequentially consistent, so in their single order either the
// sleeper's look comes after the work and it stays awake, or sleeping_ was stored before the bringer's look, which
// then writes the eventfd; an epoll_wait that begins later still sees that. The exchange lets one bringer of many
// make the system call. It may hit a sleeper that has just got up: then the next sleep ends early, once.
void LinuxExecutor::Wake() {
  if (!sleeping_.load(std::memory_order_seq_cst)) return;
  if (!sleeping_.exchange(false, std::memory_order_seq_cst)) return;
  epoll_set_->Wake();
  counters_.wakeups_sent.fetch_add(1, std::memory_order_relaxed);
}

bool LinuxExecutor::Sleep() {
  const Instant deadline = std::min(timers_.NextDeadline(), pollers_.NextRun());
  if (deadline != kInfiniteFuture && deadline <= Now()) return false;
  sleeping_.store(true, std::memory_order_seq_cst);
  const bool sleeps = !HasPending();
  if (sleeps) {
    counters_.sleeps.Add(1);
    epoll_set_->Wait(deadline);
    now_known_ = false;
  }
  sleeping_.store(false, std::memory_order_seq_cst);
  return sleeps;
}

bool LinuxExecutor::HasPending() const {
  return !signalled_.empty() || ready_first_ != nullptr || !posts_.empty() ||
         stop_.load(std::memory_order_seq_cst) ||
         mode_.load(std::memory_order_seq_cst) != Mode::kSleep;
}

bool LinuxExecutor::Turn(bool may_sleep) {
  counters_.turns.Add(1);
  now_known_ = false;
  size_t ran = RunEvents() + RunPosts() + RunTimersAndPollers();
  if (mode() == Mode::kSleep && ran == 0 && may_sleep && Sleep()) {
    ran += DispatchFds();
  } else if (!may_sleep || ++turns_since_fds_ >= options_.fd_poll_turns) {
    if (epoll_set_->watch_count() != 0) epoll_set_->Poll();
    ran += DispatchFds();
  }
  if (mode() == Mode::kPoll && ran == 0) {
    Relax();
  } else {
    idle_turns_ = 0;
  }
  return ran != 0;
}

size_t LinuxExecutor::RunEvents() {
  CollectEvents();
  size_t ran = 0;
  for (size_t left = ready_count_; left > 0 && ready_first_ != nullptr; --left) {
    Event& event = *ready_first_;
    ready_first_ = event.next;
    if (ready_first_ == nullptr) ready_last_ = nullptr;
    --ready_count_;
    ++ran;
    event.RunHandler();
  }
  if (ran != 0) counters_.events.Add(ran);
  return ran;
}

size_t LinuxExecutor::RunPosts() {
  const size_t pending = posts_.size();
  size_t ran = 0;
  Callback call;
  while (ran < pending && posts_.Pop(call)) {
    ++ran;
    call();
  }
  if (ran != 0) counters_.posts.Add(ran);
  return ran;
}

size_t LinuxExecutor::RunTimersAndPollers() {
  size_t ran = 0;
  if (!timers_.empty()) {
    ran = timers_.Advance(Now());
    counters_.timers.Add(ran);
  }
  if (!pollers_.empty()) {
    const size_t polled = pollers_.RunDue(Now());
    counters_.pollers.Add(polled);
    ran += polled;
  }
  return ran;
}

size_t LinuxExecutor::DispatchFds() {
  turns_since_fds_ = 0;
  const size_t called = epoll_set_->Dispatch();
  if (called != 0) counters_.fd_events.Add(called);
  return called;
}

void LinuxExecutor::Relax() {
  CpuRelax();
  if (++idle_turns_ == options_.idle_turns_before_yield) {
    idle_turns_ = 0;
    sched_yield();
  }
}

void LinuxExecutor::CollectEvents() {
  Event* const taken = signalled_.TakeAll();
  if (taken == nullptr) return;
  (ready_first_ == nullptr ? ready_first_ : ready_last_->next) = taken;
  for (Event* event = taken; event != nullptr; event = event->next) {
    ready_last_ = event;
    ++ready_count_;
  }
}

void LinuxExecutor::DetachEvent(Event& event) {
  CollectEvents();
  Event* before = nullptr;
  Event* at = ready_first_;
  while (at != nullptr && at != &event) {
    before = at;
    at = at->next;
  }
  // Not there: another thread has marked it pending and is about to push it, so its signal comes after this.
  if (at == nullptr) return;
  (before == nullptr ? ready_first_ : before->next) = event.next;
  if (ready_last_ == &event) ready_last_ = before;
  --ready_count_;
  event.ClearPending();
}

}  // namespace vmbuskit
