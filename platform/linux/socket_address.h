// A StreamAddress as the system's addresses, and back.
//
//   absl::StatusOr<std::vector<SocketAddress>> candidates = ResolveAddress({.host = "localhost", .port = 10809});
//   bind(fd, candidates->front().get(), candidates->front().size);
//
// Thread safety: free functions. Blocks while a name is looked up; numbers need no look-up.
// Errors: InvalidArgument for a path that is too long, or a host that is not known, naming it.
#ifndef VMBUSKIT_PLATFORM_LINUX_SOCKET_ADDRESS_H_
#define VMBUSKIT_PLATFORM_LINUX_SOCKET_ADDRESS_H_

#include <sys/socket.h>

#include <vector>

#include "absl/status/statusor.h"
#include "platform/stream.h"

namespace vmbuskit {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  // Nobody on another machine can reach it.
  bool is_local() const;
  // 0 when it has none.
  uint16_t port() const;
};

// At least one.
absl::StatusOr<std::vector<SocketAddress>> ResolveAddress(const StreamAddress& address);

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_SOCKET_ADDRESS_H_
