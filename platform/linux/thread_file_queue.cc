#include "platform/linux/thread_file_queue.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>

#include "platform/linux/blocked_signals.h"
#include "platform/linux/file_vectors.h"

namespace vmbuskit {
namespace {

int Allocate(int fd, int mode, const FileOperation& operation) {
  const auto offset = static_cast<off_t>(operation.offset);
  return fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, offset, static_cast<off_t>(operation.bytes));
}

// 0 or an errno. Bounded by the bytes of the operation: each pass moves at least one, or ends.
int Move(int fd, FileOperation& operation) {
  for (;;) {
    const auto offset = static_cast<off_t>(operation.offset);
    const int count = static_cast<int>(operation.vectors.size());
    const ssize_t moved = operation.kind == FileOperation::Kind::kRead
                              ? preadv(fd, operation.vectors.data(), count, offset)
                              : pwritev(fd, operation.vectors.data(), count, offset);
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return errno;
    if (moved == 0) return operation.kind == FileOperation::Kind::kRead ? ENODATA : EIO;
    if (!Advance(operation, static_cast<size_t>(moved))) return 0;
  }
}

int Execute(int fd, FileOperation& operation) {
  switch (operation.kind) {
    case FileOperation::Kind::kRead:
    case FileOperation::Kind::kWrite:
      return Move(fd, operation);
    case FileOperation::Kind::kSync:
      return fdatasync(fd) == 0 ? 0 : errno;
    case FileOperation::Kind::kPunchHole:
      return Allocate(fd, FALLOC_FL_PUNCH_HOLE, operation) == 0 ? 0 : errno;
    case FileOperation::Kind::kZeroRange:
      return Allocate(fd, FALLOC_FL_ZERO_RANGE, operation) == 0 ? 0 : errno;
  }
  return EINVAL;
}

}  // namespace

class FileThreads::Queue final : public FileQueue {
 public:
  Queue(FileThreads& threads, Executor& executor)
      : threads_(threads), ended_(executor, Callback::To<&Queue::Report>(this)) {}
  ~Queue() override { assert(outstanding_ == 0); }

  void Submit(FileOperation& operation) override {
    ++outstanding_;
    threads_.Add({&operation, this});
  }

  // A thread of the pool: `operation` ended with `error`.
  void End(FileOperation& operation, int error) {
    // Signalled inside: once the lock is free the executor may report everything and destroy the queue.
    const std::lock_guard lock(mutex_);
    done_.push_back({&operation, error});
    ended_.Signal();
  }

 private:
  struct Done {
    FileOperation* operation;
    int error;
  };

  void Report() {
    {
      const std::lock_guard lock(mutex_);
      reporting_.swap(done_);
    }
    outstanding_ -= reporting_.size();
    // The queue may be destroyed by the last of them.
    std::vector<Done> reporting = std::move(reporting_);
    reporting_.clear();
    for (const Done& done : reporting) done.operation->OnDone(done.error);
  }

  FileThreads& threads_;
  size_t outstanding_ = 0;
  std::mutex mutex_;
  std::vector<Done> done_;
  std::vector<Done> reporting_;
  Event ended_;
};

FileThreads::FileThreads(int fd, uint32_t threads) : fd_(fd) {
  const BlockedSignals blocked;
  for (uint32_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

FileThreads::~FileThreads() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::unique_ptr<FileQueue> FileThreads::OpenQueue(Executor& executor) {
  return std::make_unique<Queue>(*this, executor);
}

void FileThreads::Add(const Job& job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(job);
  }
  changed_.notify_one();
}

void FileThreads::Work() {
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      job = jobs_.front();
      jobs_.erase(jobs_.begin());
    }
    const int error = Execute(fd_, *job.operation);
    job.queue->End(*job.operation, error);
  }
}

}  // namespace vmbuskit
