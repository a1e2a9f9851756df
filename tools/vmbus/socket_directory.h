// Where running instances are found: a directory of the user's own with one Unix socket per
// process, "<pid>.sock".
//
//   auto directory = SocketDirectory::Open(SocketDirectory::DefaultPath());
//   absl::StatusOr<FileDescriptor> listener = directory->Listen(getpid());      // the server
//   absl::StatusOr<FileDescriptor> socket = directory->Connect(pid);            // a client
//
// The directory has mode 0700 and must be the user's: one that anybody else could write to is
// refused, whatever lies at the path. Sockets are reached through the open directory, so that a
// long path is no obstacle and the directory cannot be swapped after it was checked. A socket is
// renamed into place when it listens already: one that refuses connections belongs to a process
// that died, and is removed.
// Thread safety: none. Errors name the path and the call.
#ifndef VMBUSKIT_TOOLS_VMBUS_SOCKET_DIRECTORY_H_
#define VMBUSKIT_TOOLS_VMBUS_SOCKET_DIRECTORY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/vmbus/file_descriptor.h"

namespace vmbuskit {

class SocketDirectory {
 public:
  // $XDG_RUNTIME_DIR/vmbuskit-<uid>, or /tmp/vmbuskit-<uid> without that variable.
  static std::string DefaultPath();

  // Makes the directory when it is not there.
  static absl::StatusOr<SocketDirectory> Open(const std::string& path);

  // A listening socket, non-blocking, for process `pid`; replaces what a dead process of that
  // number left.
  absl::StatusOr<FileDescriptor> Listen(int pid);

  // A connected socket, blocking. NotFound when nobody listens; a stale socket is removed.
  absl::StatusOr<FileDescriptor> Connect(int pid);

  void Remove(int pid);

  // Processes that listen, in ascending order; stale sockets are removed on the way.
  std::vector<int> FindInstances();

  const std::string& path() const { return path_; }

 private:
  SocketDirectory(std::string path, FileDescriptor directory)
      : path_(std::move(path)), directory_(std::move(directory)) {}

  std::string path_;
  FileDescriptor directory_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_SOCKET_DIRECTORY_H_
