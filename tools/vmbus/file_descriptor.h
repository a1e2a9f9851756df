// A file descriptor with an owner.
//
//   FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
//   if (!socket) return ErrnoError("socket");
//
// Thread safety: none. Closed at destruction.
#ifndef VMBUSKIT_TOOLS_VMBUS_FILE_DESCRIPTOR_H_
#define VMBUSKIT_TOOLS_VMBUS_FILE_DESCRIPTOR_H_

#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace vmbuskit {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// The status of errno: "bind /tmp/x: Permission denied".
inline absl::Status ErrnoError(const std::string& what) { return absl::ErrnoToStatus(errno, what); }

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_FILE_DESCRIPTOR_H_
