#include "platform/linux/linux_streams.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "platform/linux/fd_watch.h"
#include "platform/linux/socket_address.h"

namespace vmbuskit {
namespace {

constexpr int kBacklog = 128;
constexpr Duration kPauseWithoutDescriptors = std::chrono::milliseconds(100);

int NewSocket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

// Whether a socket lies at `path` that nobody listens at.
bool IsStale(const std::string& path, const SocketAddress& address) {
  struct stat file;
  if (lstat(path.c_str(), &file) != 0 || !S_ISSOCK(file.st_mode)) return false;
  const int fd = NewSocket(AF_UNIX);
  if (fd < 0) return false;
  const bool refused = connect(fd, address.get(), address.size) != 0 && errno == ECONNREFUSED;
  close(fd);
  return refused;
}

bool Bind(int fd, const SocketAddress& address, const std::string& path) {
  if (bind(fd, address.get(), address.size) == 0) return true;
  if (errno != EADDRINUSE || path.empty()) return false;
  if (!IsStale(path, address)) {
    errno = EADDRINUSE;
    return false;
  }
  unlink(path.c_str());
  return bind(fd, address.get(), address.size) == 0;
}

}  // namespace

class SocketListener final : public StreamListener {
 public:
  SocketListener(LinuxExecutor& executor, int fd, const StreamAddress& address, bool is_local)
      : fd_(fd),
        address_(address),
        is_local_(is_local),
        executor_(executor),
        watch_(executor, fd, Callback::To<&SocketListener::OnReady>(this)),
        again_(executor, Callback::To<&SocketListener::OnAgain>(this)) {
    struct stat file;
    if (!address_.unix_path.empty() && lstat(address_.unix_path.c_str(), &file) == 0) {
      inode_ = file.st_ino;
    }
  }
  ~SocketListener() override {
    watch_.Stop();
    close(fd_);
    // Somebody may have put another one there.
    struct stat file;
    if (address_.unix_path.empty() || lstat(address_.unix_path.c_str(), &file) != 0) return;
    if (file.st_ino == inode_) unlink(address_.unix_path.c_str());
  }

  absl::Status Start(Callback on_connection) override {
    on_connection_ = on_connection;
    again_.Disarm();
    return watch_.Start(FdWatch::kReadable);
  }
  void Pause() override {
    watch_.Stop();
    again_.Disarm();
  }

  std::unique_ptr<Stream> Accept(Streams& owner) override {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        // The connection stays, so the watch would fire for ever.
        watch_.Stop();
        again_.Arm(executor_.Now() + kPauseWithoutDescriptors);
      }
      return nullptr;
    }
    const int on = 1;
    if (address_.unix_path.empty()) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return LinuxStreams::Adopt(static_cast<LinuxStreams&>(owner).executor_, fd);
  }

  const StreamAddress& address() const override { return address_; }
  bool is_local() const override { return is_local_; }

 private:
  void OnReady() { on_connection_(); }
  void OnAgain() { (void)watch_.Start(FdWatch::kReadable); }

  const int fd_;
  const StreamAddress address_;
  const bool is_local_;
  ino_t inode_ = 0;
  LinuxExecutor& executor_;
  FdWatch watch_;
  Timer again_;
  Callback on_connection_;
};

namespace {

absl::StatusOr<int> ListenAt(const SocketAddress& address, const std::string& path) {
  const int fd = NewSocket(address.family());
  if (fd < 0) return absl::ErrnoToStatus(errno, "socket");
  const int on = 1;
  // The mode of the file that bind makes; there is no moment with another one.
  if (address.family() == AF_UNIX) fchmod(fd, S_IRUSR | S_IWUSR);
  if (address.family() != AF_UNIX) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.family() == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (Bind(fd, address, path) && listen(fd, kBacklog) == 0) return fd;
  const int error = errno;
  close(fd);
  if (error == EADDRINUSE) return absl::AlreadyExistsError("somebody listens there");
  return absl::ErrnoToStatus(error, "bind");
}

uint16_t PortOf(int fd) {
  SocketAddress bound;
  bound.size = sizeof bound.storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0) return 0;
  return bound.port();
}

}  // namespace

absl::StatusOr<std::unique_ptr<StreamListener>> LinuxStreams::Listen(const StreamAddress& address) {
  const absl::StatusOr<std::vector<SocketAddress>> candidates = ResolveAddress(address);
  if (!candidates.ok()) return candidates.status();
  absl::Status first_error;
  for (const SocketAddress& candidate : *candidates) {
    const absl::StatusOr<int> fd = ListenAt(candidate, address.unix_path);
    if (!fd.ok()) {
      first_error.Update(fd.status());
      continue;
    }
    StreamAddress chosen = address;
    chosen.port = PortOf(*fd);
    return std::make_unique<SocketListener>(executor_, *fd, chosen, candidate.is_local());
  }
  return absl::Status(first_error.code(), absl::StrCat("listen at ", ToString(address), ": ",
                                                       std::string(first_error.message())));
}

}  // namespace vmbuskit
