// File operations through one io_uring of an executor. What is submitted in a turn goes to the kernel with one system
// call at its end; ended operations are noticed by polling while the executor polls, else through an eventfd. A read
// that is alone is first tried without the ring, which is quicker when the page cache has the bytes.
//
//   absl::StatusOr<std::unique_ptr<FileQueue>> queue = UringFileQueue::Create(executor, fd, {.depth = 256});
//   if (queue.ok()) (*queue)->Submit(operation);                // operation.OnDone(0 or an errno)
//
// Thread safety: the executor's. Lifetime: `fd` and the executor outlive it. Errors: see
// platform/block_file.h; Create fails where the kernel has no io_uring, or refuses it. A ring that the kernel takes
// nothing from any more ends what it has not taken, and all that follows, with the error that it gave.
#ifndef VMBUSKIT_PLATFORM_LINUX_URING_FILE_QUEUE_H_
#define VMBUSKIT_PLATFORM_LINUX_URING_FILE_QUEUE_H_

#include <liburing.h>

#include <boost/intrusive/list.hpp>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "platform/block_file.h"
#include "platform/linux/executor.h"
#include "platform/linux/fd_watch.h"

namespace vmbuskit {

class UringFileQueue final : public FileQueue {
 public:
  struct Options {
    uint32_t depth = 128;    // operations in the kernel at a time; a power of two
    bool page_cache = true;  // the file is not opened with O_DIRECT
  };

  // `fd` outlives the queue.
  static absl::StatusOr<std::unique_ptr<FileQueue>> Create(LinuxExecutor& executor, int fd,
                                                           const Options& options);
  ~UringFileQueue() override;

  void Submit(FileOperation& operation) override;

 private:
  using Operations = boost::intrusive::list<FileOperation>;

  // Small: a device with nothing to do begins with the first ones while the kernel is given the next.
  static constexpr uint32_t kDirectBatch = 4;

  UringFileQueue(LinuxExecutor& executor, int fd, const Options& options);
  absl::Status Start();
  int MakeRing();
  // At the end of a turn, and when operations ended: what waits goes to the kernel.
  void Push();
  bool PushBatch();
  bool ReadAtOnce();
  bool Prepare(FileOperation& operation);
  void GiveUp(int error);
  void FollowMode();
  void OnEventFd();
  void Poll();
  void Reap();
  void End(FileOperation& operation, int result);

  LinuxExecutor& executor_;
  const int fd_;
  const uint32_t depth_;
  const uint32_t batch_;  // entries of one system call
  bool reads_at_once_;
  io_uring ring_{};
  bool ring_made_ = false;
  bool polled_ = false;  // the ring's eventfd is off
  int broken_ = 0;       // the error after which the kernel takes nothing any more
  int event_fd_ = -1;
  std::optional<FdWatch> watch_;
  Event push_;
  Poller poller_;
  Operations waiting_;    // for the end of the turn, or for in_kernel_ to become less than depth_
  Operations in_kernel_;  // in the order in which they were put into the ring
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_URING_FILE_QUEUE_H_
