// Calls a handler on a Linux executor while a file descriptor is readable or writable.
//
//   FdWatch watch(executor, socket, Callback::To<&Server::OnReady>(this));
//   absl::Status status = watch.Start(FdWatch::kReadable);
//   ... in the handler: if (watch.ready() & FdWatch::kReadable) Accept();
//
// Level-triggered: the handler is called again until the descriptor is drained or the interest is taken back. A
// hang-up or error counts as both readable and writable, so that the next read or write finds it.
//
// Thread safety: the executor's. Lifetime: stop (or destroy) before the descriptor is closed and before the executor
// goes; the handler may do either. Errors: the status of epoll's errno, naming the descriptor (a regular file
// cannot be watched).
#ifndef VMBUSKIT_PLATFORM_LINUX_FD_WATCH_H_
#define VMBUSKIT_PLATFORM_LINUX_FD_WATCH_H_

#include <cstdint>

#include "absl/status/status.h"
#include "platform/callback.h"

namespace vmbuskit {

class LinuxExecutor;
class EpollSet;

class FdWatch {
 public:
  static constexpr uint32_t kReadable = 1;
  static constexpr uint32_t kWritable = 2;

  FdWatch(LinuxExecutor& executor, int fd, Callback handler);
  ~FdWatch() { Stop(); }
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;

  // `interest`: what to be called for, kReadable | kWritable; replaces what was asked before. None stops.
  absl::Status Start(uint32_t interest);
  void Stop();

  int fd() const { return fd_; }
  uint32_t interest() const { return interest_; }
  // Inside the handler: what it was called for.
  uint32_t ready() const { return ready_; }

 private:
  friend class EpollSet;
  void OnReady(uint32_t epoll_events);

  EpollSet& epoll_set_;
  const int fd_;
  const Callback handler_;
  uint32_t interest_ = 0;
  uint32_t ready_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_FD_WATCH_H_
