#include "tools/vmbus/socket_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

constexpr std::string_view kSuffix = ".sock";
constexpr int kBacklog = 8;
constexpr size_t kInstancesMax = 256;

std::string NameOf(int pid) { return std::to_string(pid) + std::string(kSuffix); }

// The process that "<pid>.sock" names.
std::optional<int> PidOf(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  int pid = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (error != std::errc() || end != name.data() + name.size() || pid <= 0) return std::nullopt;
  return pid;
}

// The address of `name` in the open directory; independent of how long the directory's path is.
sockaddr_un AddressOf(int directory, const std::string& name) {
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  const std::string path = absl::StrCat("/proc/self/fd/", directory, "/", name);
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  return address;
}

FileDescriptor NewSocket(int flags) {
  return FileDescriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
}

}  // namespace

std::string SocketDirectory::DefaultPath() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const std::string parent = runtime != nullptr && runtime[0] == '/' ? runtime : "/tmp";
  return absl::StrCat(parent, "/vmbuskit-", getuid());
}

absl::StatusOr<SocketDirectory> SocketDirectory::Open(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return ErrnoError("mkdir " + path);
  FileDescriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return ErrnoError("open " + path);
  struct stat status;
  if (fstat(directory.get(), &status) != 0) return ErrnoError("stat " + path);
  if (status.st_uid != getuid()) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": belongs to user ", status.st_uid, ", not to ", getuid()));
  }
  if ((status.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": others have access to it, its mode should be 0700"));
  }
  return SocketDirectory(path, std::move(directory));
}

absl::StatusOr<FileDescriptor> SocketDirectory::Listen(int pid) {
  FileDescriptor listener = NewSocket(SOCK_NONBLOCK);
  if (!listener) return ErrnoError("socket");
  const std::string name = NameOf(pid);
  const std::string early_name = name + ".new";
  unlinkat(directory_.get(), early_name.c_str(), 0);
  const sockaddr_un address = AddressOf(directory_.get(), early_name);
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return ErrnoError(absl::StrCat("bind ", path_, "/", early_name));
  }
  if (listen(listener.get(), kBacklog) != 0) return ErrnoError("listen");
  if (renameat(directory_.get(), early_name.c_str(), directory_.get(), name.c_str()) != 0) {
    return ErrnoError(absl::StrCat("rename ", path_, "/", early_name));
  }
  return listener;
}

absl::StatusOr<FileDescriptor> SocketDirectory::Connect(int pid) {
  FileDescriptor connection = NewSocket(0);
  if (!connection) return ErrnoError("socket");
  const sockaddr_un address = AddressOf(directory_.get(), NameOf(pid));
  if (connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return connection;
  }
  const int error = errno;
  if (error == ECONNREFUSED) Remove(pid);
  if (error == ECONNREFUSED || error == ENOENT) {
    return absl::NotFoundError(absl::StrCat("no instance runs as process ", pid));
  }
  return absl::ErrnoToStatus(error, absl::StrCat("connect ", path_, "/", NameOf(pid)));
}

void SocketDirectory::Remove(int pid) { unlinkat(directory_.get(), NameOf(pid).c_str(), 0); }

std::vector<int> SocketDirectory::FindInstances() {
  std::vector<int> candidates;
  DIR* listing = fdopendir(openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (listing == nullptr) return candidates;
  while (const dirent* entry = readdir(listing)) {
    const std::optional<int> pid = PidOf(entry->d_name);
    if (pid.has_value() && candidates.size() < kInstancesMax) candidates.push_back(*pid);
  }
  closedir(listing);
  std::ranges::sort(candidates);
  std::erase_if(candidates, [this](int pid) { return !Connect(pid).ok(); });
  return candidates;
}

}  // namespace vmbuskit
