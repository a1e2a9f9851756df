#include "platform/linux/socket_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

const sockaddr_in& AsV4(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in&>(address.storage);
}

const sockaddr_in6& AsV6(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in6&>(address.storage);
}

absl::StatusOr<SocketAddress> OfPath(const std::string& path) {
  SocketAddress address;
  auto& to = reinterpret_cast<sockaddr_un&>(address.storage);
  if (path.size() >= sizeof to.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("the socket's path '", path, "' has ",
                                                   path.size(), " bytes, at most ",
                                                   sizeof to.sun_path - 1));
  }
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, path.c_str(), path.size() + 1);
  address.size = sizeof to;
  return address;
}

}  // namespace

std::string ToString(const StreamAddress& address) {
  if (!address.unix_path.empty()) return absl::StrCat("unix:", address.unix_path);
  const bool v6 = address.host.find(':') != std::string::npos;
  return absl::StrCat(v6 ? "[" : "", address.host, v6 ? "]:" : ":", address.port);
}

bool SocketAddress::is_local() const {
  switch (family()) {
    case AF_UNIX:
      return true;
    case AF_INET:
      return ntohl(AsV4(*this).sin_addr.s_addr) >> 24 == 127;
    case AF_INET6:
      return IN6_IS_ADDR_LOOPBACK(&AsV6(*this).sin6_addr);
    default:
      return false;
  }
}

uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(AsV4(*this).sin_port);
  if (family() == AF_INET6) return ntohs(AsV6(*this).sin6_port);
  return 0;
}

absl::StatusOr<std::vector<SocketAddress>> ResolveAddress(const StreamAddress& address) {
  if (!address.unix_path.empty()) {
    absl::StatusOr<SocketAddress> path = OfPath(address.unix_path);
    if (!path.ok()) return path.status();
    return std::vector<SocketAddress>{*path};
  }
  if (address.host.empty()) return absl::InvalidArgumentError("an address without path and host");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const std::string port = absl::StrCat(address.port);
  if (const int error = getaddrinfo(address.host.c_str(), port.c_str(), &hints, &list)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the host '", address.host, "': ", gai_strerror(error)));
  }
  std::vector<SocketAddress> candidates;
  for (const addrinfo* info = list; info != nullptr; info = info->ai_next) {
    SocketAddress& candidate = candidates.emplace_back();
    std::memcpy(&candidate.storage, info->ai_addr, info->ai_addrlen);
    candidate.size = info->ai_addrlen;
  }
  freeaddrinfo(list);
  return candidates;
}

}  // namespace vmbuskit
