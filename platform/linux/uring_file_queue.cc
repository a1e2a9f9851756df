#include "platform/linux/uring_file_queue.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>

#include "absl/status/status.h"
#include "platform/linux/file_vectors.h"

namespace vmbuskit {

absl::StatusOr<std::unique_ptr<FileQueue>> UringFileQueue::Create(LinuxExecutor& executor, int fd,
                                                                  uint32_t depth) {
  std::unique_ptr<UringFileQueue> queue(new UringFileQueue(executor, fd, depth));
  if (absl::Status status = queue->Start(); !status.ok()) return status;
  return queue;
}

UringFileQueue::UringFileQueue(LinuxExecutor& executor, int fd, uint32_t depth)
    : executor_(executor),
      fd_(fd),
      depth_(depth),
      push_(executor, Callback::To<&UringFileQueue::PushToKernel>(this)),
      poller_(executor, Callback::To<&UringFileQueue::Poll>(this)) {}

UringFileQueue::~UringFileQueue() {
  assert(in_kernel_.empty() && waiting_.empty());
  watch_.reset();
  if (ring_made_) io_uring_queue_exit(&ring_);
  if (event_fd_ >= 0) close(event_fd_);
}

absl::Status UringFileQueue::Start() {
  if (const int error = io_uring_queue_init(depth_, &ring_, IORING_SETUP_CLAMP); error < 0) {
    return absl::ErrnoToStatus(-error, "io_uring");
  }
  ring_made_ = true;
  event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event_fd_ < 0) return absl::ErrnoToStatus(errno, "eventfd for io_uring");
  if (const int error = io_uring_register_eventfd(&ring_, event_fd_); error < 0) {
    return absl::ErrnoToStatus(-error, "io_uring's eventfd");
  }
  watch_.emplace(executor_, event_fd_, Callback::To<&UringFileQueue::OnEventFd>(this));
  return watch_->Start(FdWatch::kReadable);
}

void UringFileQueue::Submit(FileOperation& operation) {
  if (in_kernel_.size() >= depth_) {
    waiting_.push_back(operation);
    return;
  }
  Prepare(operation);
}

void UringFileQueue::Prepare(FileOperation& operation) {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  if (entry == nullptr) {  // what was prepared before waits for the end of the turn
    waiting_.push_back(operation);
    push_.Signal();
    return;
  }
  switch (operation.kind) {
    case FileOperation::Kind::kRead:
      io_uring_prep_readv2(entry, fd_, operation.vectors.data(),
                           static_cast<unsigned>(operation.vectors.size()), operation.offset, 0);
      break;
    case FileOperation::Kind::kWrite:
      io_uring_prep_writev2(entry, fd_, operation.vectors.data(),
                            static_cast<unsigned>(operation.vectors.size()), operation.offset,
                            operation.data_sync ? RWF_DSYNC : 0);
      break;
    case FileOperation::Kind::kSync:
      io_uring_prep_fsync(entry, fd_, IORING_FSYNC_DATASYNC);
      break;
    case FileOperation::Kind::kPunchHole:
      io_uring_prep_fallocate(entry, fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(operation.offset),
                              static_cast<off_t>(operation.bytes));
      break;
    case FileOperation::Kind::kZeroRange:
      io_uring_prep_fallocate(entry, fd_, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(operation.offset),
                              static_cast<off_t>(operation.bytes));
      break;
  }
  io_uring_sqe_set_data(entry, &operation);
  in_kernel_.push_back(operation);
  push_.Signal();
  if (executor_.mode() == LinuxExecutor::Mode::kPoll) poller_.Start();
}

void UringFileQueue::PushToKernel() {
  const int pushed = io_uring_submit(&ring_);
  // Out of memory or the completion queue is full: what ended makes room, and nothing is lost meanwhile.
  if (pushed == -EAGAIN || pushed == -EBUSY || pushed == -EINTR) push_.Signal();
  Reap();
}

void UringFileQueue::OnEventFd() {
  uint64_t count;
  while (read(event_fd_, &count, sizeof count) == sizeof count) {
  }
  Reap();
}

void UringFileQueue::Poll() {
  if (in_kernel_.empty() || executor_.mode() != LinuxExecutor::Mode::kPoll) return poller_.Stop();
  Reap();
}

void UringFileQueue::Reap() {
  constexpr unsigned kBatch = 32;
  io_uring_cqe* entries[kBatch];
  for (unsigned rounds = 0; rounds * kBatch < 2 * depth_; ++rounds) {
    const unsigned count = io_uring_peek_batch_cqe(&ring_, entries, kBatch);
    for (unsigned i = 0; i < count; ++i) {
      auto* const operation = static_cast<FileOperation*>(io_uring_cqe_get_data(entries[i]));
      const int result = entries[i]->res;
      io_uring_cqe_seen(&ring_, entries[i]);
      in_kernel_.erase(in_kernel_.iterator_to(*operation));
      End(*operation, result);
    }
    while (!waiting_.empty() && in_kernel_.size() < depth_ && io_uring_sq_space_left(&ring_) > 0) {
      FileOperation& next = waiting_.front();
      waiting_.pop_front();
      Prepare(next);
    }
    if (count < kBatch) break;
  }
}

void UringFileQueue::End(FileOperation& operation, int result) {
  const bool moves =
      operation.kind == FileOperation::Kind::kRead || operation.kind == FileOperation::Kind::kWrite;
  if (result == -EINTR || result == -EAGAIN) return Submit(operation);
  if (result < 0) return operation.OnDone(-result);
  if (!moves) return operation.OnDone(0);
  if (result == 0) return operation.OnDone(EIO);  // past the end of the file, which has shrunk
  if (Advance(operation, static_cast<size_t>(result))) return Submit(operation);
  operation.OnDone(0);
}

}  // namespace vmbuskit
