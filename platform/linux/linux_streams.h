// Sockets as streams, on a LinuxExecutor.
//
//   LinuxStreams streams(executor);
//   absl::StatusOr<std::unique_ptr<StreamListener>> listener = streams.Listen({.host = "127.0.0.1", .port = 10809});
//   std::unique_ptr<Stream> stream = LinuxStreams::Adopt(executor, connected_socket);
//
// Thread safety, lifetime, errors: platform/stream.h. Where one of several addresses of a name can be listened at, that
// one is taken. A listener that the system gives no descriptors to waits a moment before it tries again.
#ifndef VMBUSKIT_PLATFORM_LINUX_LINUX_STREAMS_H_
#define VMBUSKIT_PLATFORM_LINUX_LINUX_STREAMS_H_

#include <memory>

#include "platform/linux/executor.h"
#include "platform/stream.h"

namespace vmbuskit {

class LinuxStreams final : public Streams {
 public:
  explicit LinuxStreams(LinuxExecutor& executor) : executor_(executor) {}

  Executor& executor() override { return executor_; }
  absl::StatusOr<std::unique_ptr<StreamListener>> Listen(const StreamAddress& address) override;

  // A stream of a connected, non-blocking socket, which it closes.
  static std::unique_ptr<Stream> Adopt(LinuxExecutor& executor, int fd);

 private:
  friend class SocketListener;
  LinuxExecutor& executor_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_LINUX_STREAMS_H_
