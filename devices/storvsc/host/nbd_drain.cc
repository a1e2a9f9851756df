#include "devices/storvsc/host/nbd_drain.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "platform/linux/executor.h"

namespace vmbuskit {
namespace {

// Of other sockets than TCP's these fail, and nothing has to be done.
void EndWhenThePeerIsSilent(int socket, Duration silence) {
  const auto set = [socket](int level, int name, int64_t value) {
    const int number = static_cast<int>(std::clamp<int64_t>(value, 1, 1 << 30));
    (void)setsockopt(socket, level, name, &number, sizeof number);
  };
  const int64_t ms = std::chrono::duration_cast<std::chrono::milliseconds>(silence).count();
  // A server that is only slow does not take what is left to send: the kernel would count that as silence, too, and
  // from long ago.
  int left = 0;
  if (ioctl(socket, SIOCOUTQ, &left) == 0 && left == 0) set(IPPROTO_TCP, TCP_USER_TIMEOUT, ms);
  set(IPPROTO_TCP, TCP_KEEPIDLE, ms / 3000);
  set(IPPROTO_TCP, TCP_KEEPINTVL, ms / 3000);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
}

}  // namespace

NbdDrain::NbdDrain(NbdWrites& writes, int socket, Duration silence, LinuxExecutor& executor,
                   Callback ended)
    : writes_(writes), socket_(socket), ended_(ended) {
  EndWhenThePeerIsSilent(socket, silence);
  (void)shutdown(socket, SHUT_WR);
  watch_.emplace(executor, socket, Callback::To<&NbdDrain::OnReady>(this));
  (void)watch_->Start(FdWatch::kReadable);
}

NbdDrain::~NbdDrain() {
  watch_.reset();
  if (socket_ >= 0) writes_.LeaveSocket(socket_);
}

// A little at a time: it may have much to say.
void NbdDrain::OnReady() {
  char bytes[16384];
  const ssize_t got = recv(socket_, bytes, sizeof bytes, MSG_DONTWAIT);
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return;
  watch_->Stop();
  close(std::exchange(socket_, -1));
  writes_.EndDoubt();
  ended_();
}

}  // namespace vmbuskit
