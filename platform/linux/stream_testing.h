// For tests of what talks over streams: a folder for sockets, whose path is short enough for one, and a client.
//
//   TemporaryFolder folder;
//   std::unique_ptr<Stream> client = ConnectForTest(executor, {.unix_path = folder.path() + "/socket"});
//
// Thread safety: none. The folder goes with what is in it.
#ifndef VMBUSKIT_PLATFORM_LINUX_STREAM_TESTING_H_
#define VMBUSKIT_PLATFORM_LINUX_STREAM_TESTING_H_

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "platform/linux/linux_streams.h"
#include "platform/linux/socket_address.h"

namespace vmbuskit {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/vmbuskit-XXXXXX";
};

// Null: nobody listens there.
inline std::unique_ptr<Stream> ConnectForTest(LinuxExecutor& executor,
                                              const StreamAddress& address) {
  const auto found = ResolveAddress(address);
  if (!found.ok()) return nullptr;
  const int fd = socket(found->front().family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, found->front().get(), found->front().size) != 0) {
    close(fd);
    return nullptr;
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return LinuxStreams::Adopt(executor, fd);
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_STREAM_TESTING_H_
