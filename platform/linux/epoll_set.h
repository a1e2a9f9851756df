// How a Linux executor sleeps: one epoll set with an eventfd for wake-ups, a timerfd for the next deadline and the
// watched file descriptors.
//
//   epoll_set->Wait(wheel.NextDeadline());    // until a wake-up, the deadline or a ready descriptor
//   epoll_set->Dispatch();                    // calls the handlers of the ready descriptors
//
// Thread safety: Wake from any thread; all else on the owner. Units: CLOCK_MONOTONIC nanoseconds. A sleeping owner
// is woken by nothing but these three; the timerfd is an absolute one, so there is no slack and no drift.
#ifndef VMBUSKIT_PLATFORM_LINUX_EPOLL_SET_H_
#define VMBUSKIT_PLATFORM_LINUX_EPOLL_SET_H_

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/time.h"

namespace vmbuskit {

class FdWatch;

class EpollSet {
 public:
  static absl::StatusOr<std::unique_ptr<EpollSet>> Create();
  ~EpollSet();
  EpollSet(const EpollSet&) = delete;
  EpollSet& operator=(const EpollSet&) = delete;

  // Makes the Wait that runs, or the next one, return.
  void Wake();

  // `deadline` must lie in the future, or be kInfiniteFuture.
  void Wait(Instant deadline);
  // Looks which descriptors are ready and does not sleep.
  void Poll();
  // Calls the handlers of what Wait or Poll found; how many.
  size_t Dispatch();

  // `events` in terms of epoll.
  absl::Status Add(FdWatch& watch, int fd, uint32_t events);
  absl::Status Modify(FdWatch& watch, int fd, uint32_t events);
  // Also forgets that Wait found it ready.
  void Remove(FdWatch& watch, int fd);
  size_t watch_count() const { return watch_count_; }

 private:
  static constexpr size_t kBatch = 32;

  EpollSet(int epoll_fd, int event_fd, int timer_fd)
      : epoll_fd_(epoll_fd), event_fd_(event_fd), timer_fd_(timer_fd) {}
  absl::Status Control(int operation, int fd, uint32_t events, void* tag);
  void ArmTimerFd(Instant deadline);

  const int epoll_fd_;
  const int event_fd_;
  const int timer_fd_;
  Instant armed_for_ = kInfiniteFuture;  // what the timerfd was last set to
  size_t watch_count_ = 0;
  int ready_count_ = 0;
  std::array<epoll_event, kBatch> ready_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_EPOLL_SET_H_
