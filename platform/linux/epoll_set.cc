#include "platform/linux/epoll_set.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>

#include "absl/strings/str_cat.h"
#include "platform/linux/fd_watch.h"

namespace vmbuskit {
namespace {

timespec ToTimespec(Instant instant) {
  constexpr int64_t kPerSecond = 1'000'000'000;
  // Zero would disarm the timer; a deadline in the past is any that has passed.
  const int64_t nanoseconds = std::max<int64_t>(instant.time_since_epoch().count(), 1);
  return {.tv_sec = nanoseconds / kPerSecond, .tv_nsec = nanoseconds % kPerSecond};
}

}  // namespace

absl::StatusOr<std::unique_ptr<EpollSet>> EpollSet::Create() {
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  const int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  const int error = errno;
  std::unique_ptr<EpollSet> epoll_set(new EpollSet(epoll_fd, event_fd, timer_fd));
  if (epoll_fd < 0 || event_fd < 0 || timer_fd < 0) {
    return absl::ErrnoToStatus(error, "executor: epoll, eventfd or timerfd");
  }
  // Edge-triggered: every write and every expiry is reported once, and neither descriptor is ever read.
  for (int fd : {event_fd, timer_fd}) {
    absl::Status added = epoll_set->Control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, nullptr);
    if (!added.ok()) return added;
  }
  return epoll_set;
}

EpollSet::~EpollSet() {
  assert(watch_count_ == 0 && "a watch outlives its executor");
  for (int fd : {epoll_fd_, event_fd_, timer_fd_}) {
    if (fd >= 0) close(fd);
  }
}

void EpollSet::Wake() {
  const uint64_t one = 1;
  // Cannot fail: the counter would have to pass 2^64 - 2.
  [[maybe_unused]] const ssize_t written = write(event_fd_, &one, sizeof one);
}

void EpollSet::Wait(Instant deadline) {
  ArmTimerFd(deadline);
  // An interrupting signal counts as a wake-up: the owner looks for work and comes back.
  ready_count_ = std::max(0, epoll_wait(epoll_fd_, ready_.data(), kBatch, -1));
}

void EpollSet::Poll() {
  ready_count_ = std::max(0, epoll_wait(epoll_fd_, ready_.data(), kBatch, 0));
}

size_t EpollSet::Dispatch() {
  size_t called = 0;
  for (int i = 0; i < ready_count_; ++i) {
    const epoll_event event = ready_[i];
    if (event.data.ptr == nullptr)
      continue;  // own descriptors, and watches that were stopped meanwhile
    ready_[i].data.ptr = nullptr;
    static_cast<FdWatch*>(event.data.ptr)->OnReady(event.events);
    ++called;
  }
  ready_count_ = 0;
  return called;
}

absl::Status EpollSet::Add(FdWatch& watch, int fd, uint32_t events) {
  absl::Status status = Control(EPOLL_CTL_ADD, fd, events, &watch);
  if (status.ok()) ++watch_count_;
  return status;
}

absl::Status EpollSet::Modify(FdWatch& watch, int fd, uint32_t events) {
  return Control(EPOLL_CTL_MOD, fd, events, &watch);
}

void EpollSet::Remove(FdWatch& watch, int fd) {
  // Fails only when the descriptor was closed before, which removed it already.
  (void)Control(EPOLL_CTL_DEL, fd, 0, nullptr);
  --watch_count_;
  for (int i = 0; i < ready_count_; ++i) {
    if (ready_[i].data.ptr == &watch) ready_[i].data.ptr = nullptr;
  }
}

absl::Status EpollSet::Control(int operation, int fd, uint32_t events, void* tag) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = tag;
  if (epoll_ctl(epoll_fd_, operation, fd, &event) == 0) return absl::OkStatus();
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat("executor: watching file descriptor ", fd));
}

void EpollSet::ArmTimerFd(Instant deadline) {
  if (deadline == armed_for_) return;
  itimerspec setting{};  // zero disarms
  if (deadline != kInfiniteFuture) setting.it_value = ToTimespec(deadline);
  [[maybe_unused]] const int result =
      timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &setting, nullptr);
  assert(result == 0);
  armed_for_ = deadline;
}

}  // namespace vmbuskit
