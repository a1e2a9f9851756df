// File operations through one io_uring of an executor. What is submitted in a turn goes to the kernel with one system
// call at its end; ended operations are noticed by polling while the executor polls, else through an eventfd.
//
// Thread safety: the executor's. Errors: see platform/block_file.h; Create fails where the kernel has no io_uring, or
// refuses it.
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
  // `fd` outlives the queue. `depth`: a power of two.
  static absl::StatusOr<std::unique_ptr<FileQueue>> Create(LinuxExecutor& executor, int fd,
                                                           uint32_t depth);
  ~UringFileQueue() override;

  void Submit(FileOperation& operation) override;

 private:
  using Operations = boost::intrusive::list<FileOperation>;

  UringFileQueue(LinuxExecutor& executor, int fd, uint32_t depth);
  absl::Status Start();
  void Prepare(FileOperation& operation);
  void PushToKernel();
  void OnEventFd();
  void Poll();
  void Reap();
  void End(FileOperation& operation, int result);

  LinuxExecutor& executor_;
  const int fd_;
  const uint32_t depth_;
  io_uring ring_{};
  bool ring_made_ = false;
  int event_fd_ = -1;
  std::optional<FdWatch> watch_;
  Event push_;
  Poller poller_;
  Operations in_kernel_;
  Operations waiting_;  // for in_kernel_ to become less than depth_
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_URING_FILE_QUEUE_H_
