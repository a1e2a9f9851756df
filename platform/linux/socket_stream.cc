// The connections of linux_streams.h.
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "platform/linux/fd_watch.h"
#include "platform/linux/linux_streams.h"

namespace vmbuskit {
namespace {

class SocketStream final : public Stream {
 public:
  SocketStream(LinuxExecutor& executor, int fd)
      : fd_(fd), watch_(executor, fd, Callback::To<&SocketStream::OnReady>(this)) {}
  ~SocketStream() override {
    watch_.Stop();
    close(fd_);
  }

  absl::Status Start(Callback on_ready) override {
    on_ready_ = on_ready;
    return watch_.Start(FdWatch::kReadable);
  }

  StreamResult Read(std::span<const std::span<std::byte>> into) override {
    std::array<iovec, kPartsMax> vectors;
    const size_t count = std::min(into.size(), vectors.size());
    for (size_t i = 0; i < count; ++i) vectors[i] = {into[i].data(), into[i].size()};
    const ssize_t bytes = readv(fd_, vectors.data(), static_cast<int>(count));
    idle_events_ = 0;
    if (bytes == 0) return {StreamState::kEnd};
    return Finish(bytes, FdWatch::kReadable);
  }

  StreamResult Write(std::span<const std::span<const std::byte>> from) override {
    std::array<iovec, kPartsMax> vectors;
    const size_t count = std::min(from.size(), vectors.size());
    for (size_t i = 0; i < count; ++i) {
      vectors[i] = {const_cast<std::byte*>(from[i].data()), from[i].size()};
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    return Finish(sendmsg(fd_, &message, MSG_NOSIGNAL), FdWatch::kWritable);
  }

  void CloseOutput() override { shutdown(fd_, SHUT_WR); }
  absl::Status error() const override { return error_; }

 private:
  StreamResult Finish(ssize_t bytes, uint32_t interest) {
    if (bytes >= 0) return {StreamState::kOk, static_cast<size_t>(bytes)};
    if (errno == EAGAIN || errno == EINTR) {
      error_ = watch_.Start(watch_.interest() | interest);
      return {error_.ok() ? StreamState::kLater : StreamState::kFailed};
    }
    error_ = absl::ErrnoToStatus(errno, interest == FdWatch::kReadable ? "read" : "write");
    return {StreamState::kFailed};
  }

  // Epoll reports a level. Room to write is there nearly always, so that is asked for once at a time; that there is
  // something to read is reported on, until a user was seen that does not want it now.
  void OnReady() {
    uint32_t interest = watch_.interest() & ~FdWatch::kWritable;
    if ((watch_.ready() & FdWatch::kReadable) != 0 && ++idle_events_ > 1) {
      interest &= ~FdWatch::kReadable;
    }
    error_ = watch_.Start(interest);
    on_ready_();  // may destroy this
  }

  const int fd_;
  FdWatch watch_;
  Callback on_ready_;
  uint32_t idle_events_ = 0;  // since the last read
  absl::Status error_;
};

}  // namespace

std::unique_ptr<Stream> LinuxStreams::Adopt(LinuxExecutor& executor, int fd) {
  return std::make_unique<SocketStream>(executor, fd);
}

}  // namespace vmbuskit
