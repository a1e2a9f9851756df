#include "platform/linux/fd_watch.h"

#include <sys/epoll.h>

#include "platform/linux/epoll_set.h"
#include "platform/linux/executor.h"

namespace vmbuskit {

FdWatch::FdWatch(LinuxExecutor& executor, int fd, Callback handler)
    : epoll_set_(executor.epoll_set()), fd_(fd), handler_(handler) {}

absl::Status FdWatch::Start(uint32_t interest) {
  if (interest == interest_) return absl::OkStatus();
  if (interest == 0) {
    // Not merely an empty mask: epoll reports hang-ups whatever the mask, and nobody would take them.
    Stop();
    return absl::OkStatus();
  }
  const uint32_t events =
      ((interest & kReadable) != 0 ? EPOLLIN : 0u) | ((interest & kWritable) != 0 ? EPOLLOUT : 0u);
  absl::Status status =
      interest_ == 0 ? epoll_set_.Add(*this, fd_, events) : epoll_set_.Modify(*this, fd_, events);
  if (status.ok()) interest_ = interest;
  return status;
}

void FdWatch::Stop() {
  if (interest_ == 0) return;
  epoll_set_.Remove(*this, fd_);
  interest_ = 0;
}

void FdWatch::OnReady(uint32_t epoll_events) {
  ready_ = 0;
  if ((epoll_events & (EPOLLERR | EPOLLHUP)) != 0) ready_ = kReadable | kWritable;
  if ((epoll_events & EPOLLIN) != 0) ready_ |= kReadable;
  if ((epoll_events & EPOLLOUT) != 0) ready_ |= kWritable;
  handler_();  // may destroy this
}

}  // namespace vmbuskit
