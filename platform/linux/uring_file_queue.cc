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
                                                                  const Options& options) {
  std::unique_ptr<UringFileQueue> queue(new UringFileQueue(executor, fd, options));
  if (absl::Status status = queue->Start(); !status.ok()) return status;
  return queue;
}

UringFileQueue::UringFileQueue(LinuxExecutor& executor, int fd, const Options& options)
    : executor_(executor),
      fd_(fd),
      depth_(options.depth),
      batch_(options.page_cache ? options.depth : kDirectBatch),
      reads_at_once_(options.page_cache),
      push_(executor, Callback::To<&UringFileQueue::Push>(this)),
      poller_(executor, Callback::To<&UringFileQueue::Poll>(this)) {}

UringFileQueue::~UringFileQueue() {
  assert(in_kernel_.empty() && waiting_.empty());
  watch_.reset();
  if (ring_made_) io_uring_queue_exit(&ring_);
  if (event_fd_ >= 0) close(event_fd_);
}

// A thread that polls need not be interrupted to hear of an end: it looks. Older kernels cannot be told so.
int UringFileQueue::MakeRing() {
  const int error = io_uring_queue_init(
      depth_, &ring_, IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);
  if (error != -EINVAL) return error;
  return io_uring_queue_init(depth_, &ring_, IORING_SETUP_CLAMP);
}

absl::Status UringFileQueue::Start() {
  if (const int error = MakeRing(); error < 0) return absl::ErrnoToStatus(-error, "io_uring");
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
  waiting_.push_back(operation);
  push_.Signal();
}

void UringFileQueue::Push() {
  FollowMode();
  if (waiting_.size() == 1 && in_kernel_.empty() && ReadAtOnce()) return;
  while (PushBatch()) {
  }
  // After an entry that it refused the kernel leaves the rest.
  if (broken_ == 0 && io_uring_sq_ready(&ring_) > 0) push_.Signal();
  Reap();  // also of a broken ring: what it took before may have ended while nobody was told
}

// True: there is more for the kernel.
bool UringFileQueue::PushBatch() {
  uint32_t taken = 0;
  for (; taken < batch_ && in_kernel_.size() < depth_ && !waiting_.empty(); ++taken) {
    FileOperation& operation = waiting_.front();
    if (!Prepare(operation)) break;
    waiting_.pop_front();
    in_kernel_.push_back(operation);
  }
  if (broken_ != 0) {
    GiveUp(broken_);
    return false;
  }
  const int pushed = io_uring_submit(&ring_);
  // Out of memory or the completion queue is full: what ended makes room, and nothing is lost meanwhile.
  const bool passes = pushed >= 0 || pushed == -EAGAIN || pushed == -EBUSY || pushed == -EINTR;
  if (!passes) GiveUp(-pushed);
  return taken == batch_ && broken_ == 0 && io_uring_sq_ready(&ring_) == 0;
}

// False: it is to go the usual way.
bool UringFileQueue::ReadAtOnce() {
  FileOperation& operation = waiting_.front();
  if (!reads_at_once_ || operation.kind != FileOperation::Kind::kRead) return false;
  const ssize_t bytes =
      preadv2(fd_, operation.vectors.data(), static_cast<int>(operation.vectors.size()),
              static_cast<off_t>(operation.offset), RWF_NOWAIT);
  if (bytes <= 0) {
    if (bytes < 0 && errno == EOPNOTSUPP) reads_at_once_ = false;
    return false;
  }
  waiting_.pop_front();
  End(operation, static_cast<int>(bytes));
  return true;
}

// False: the ring has no room. The file is not registered with the ring, which would hold it, and its lock, for a while
// after the end of the process.
bool UringFileQueue::Prepare(FileOperation& operation) {
  io_uring_sqe* const entry = broken_ == 0 ? io_uring_get_sqe(&ring_) : nullptr;
  if (entry == nullptr) return false;
  const auto count = static_cast<unsigned>(operation.vectors.size());
  const iovec first = count > 0 ? operation.vectors.front() : iovec{};
  const auto first_bytes = static_cast<unsigned>(first.iov_len);
  switch (operation.kind) {
    case FileOperation::Kind::kRead:
      if (count == 1) {
        io_uring_prep_read(entry, fd_, first.iov_base, first_bytes, operation.offset);
      } else {
        io_uring_prep_readv(entry, fd_, operation.vectors.data(), count, operation.offset);
      }
      break;
    case FileOperation::Kind::kWrite:
      if (count == 1) {
        io_uring_prep_write(entry, fd_, first.iov_base, first_bytes, operation.offset);
      } else {
        io_uring_prep_writev(entry, fd_, operation.vectors.data(), count, operation.offset);
      }
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
  return true;
}

// Ends what the kernel has not taken, which is the newest in the ring, and what waits.
void UringFileQueue::GiveUp(int error) {
  Operations lost;
  if (broken_ == 0) {
    for (unsigned left = io_uring_sq_ready(&ring_); left > 0 && !in_kernel_.empty(); --left) {
      FileOperation& newest = in_kernel_.back();
      in_kernel_.pop_back();
      lost.push_front(newest);
    }
    broken_ = error;
  }
  lost.splice(lost.end(), waiting_);
  while (!lost.empty()) {
    FileOperation& operation = lost.front();
    lost.pop_front();
    operation.OnDone(error);
  }
}

void UringFileQueue::FollowMode() {
  if (polled_ == executor_.polls()) return;
  polled_ = executor_.polls();
  (void)io_uring_cq_eventfd_toggle(&ring_, !polled_);  // fails only without one
  if (polled_) {
    poller_.Start();
  } else {
    poller_.Stop();
  }
}

void UringFileQueue::OnEventFd() {
  uint64_t count;
  while (read(event_fd_, &count, sizeof count) == sizeof count) {
  }
  Reap();
}

void UringFileQueue::Poll() {
  FollowMode();  // first: what ends from now on is told, what has ended is found
  if (!in_kernel_.empty()) Reap();
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
    if (count < kBatch) break;
  }
  if (!waiting_.empty()) push_.Signal();
}

void UringFileQueue::End(FileOperation& operation, int result) {
  const bool moves =
      operation.kind == FileOperation::Kind::kRead || operation.kind == FileOperation::Kind::kWrite;
  if (result == -EINTR || result == -EAGAIN) return Submit(operation);
  if (result < 0) return operation.OnDone(-result);
  if (!moves) return operation.OnDone(0);
  if (result == 0) {
    return operation.OnDone(operation.kind == FileOperation::Kind::kRead ? ENODATA : EIO);
  }
  if (Advance(operation, static_cast<size_t>(result))) return Submit(operation);
  operation.OnDone(0);
}

}  // namespace vmbuskit
