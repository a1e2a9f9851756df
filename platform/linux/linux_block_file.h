// Files and block devices of Linux: through io_uring where the kernel has it, else through threads.
//
//   absl::StatusOr<std::unique_ptr<LinuxBlockFile>> file = LinuxBlockFile::Open("disk.img", {});
//
// An open file is locked against others who ask (an open file description lock on its first byte: exclusive, or shared
// for a read-only one), so that no image is served twice. Block devices are opened exclusively.
// Who opens a file for writing has SIGXFSZ ignored from then on, unless the program handles it: a limit is an errno.
// Thread safety, ownership, units: platform/block_file.h; executors are LinuxExecutors.
// Errors of Open name the path and what is wrong with it: NotFound, PermissionDenied, FailedPrecondition (locked by
// somebody), InvalidArgument (a folder, an empty file).
#ifndef VMBUSKIT_PLATFORM_LINUX_LINUX_BLOCK_FILE_H_
#define VMBUSKIT_PLATFORM_LINUX_LINUX_BLOCK_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "platform/block_file.h"

namespace vmbuskit {

class FileThreads;

class LinuxBlockFile final : public BlockFile {
 public:
  enum class Engine { kBest, kIoUring, kThreads };

  struct Options {
    bool read_only = false;
    bool direct = false;  // past the page cache (O_DIRECT)
    Engine engine = Engine::kBest;
    // Operations of a queue in the kernel at a time; more wait. A power of two.
    uint32_t depth = 256;
    uint32_t threads = 8;  // of the thread engine
  };

  static absl::StatusOr<std::unique_ptr<LinuxBlockFile>> Open(const std::string& path,
                                                              const Options& options);
  ~LinuxBlockFile() override;

  uint64_t bytes() const override { return bytes_; }
  bool read_only() const override { return options_.read_only; }
  uint32_t alignment() const override { return alignment_; }
  bool rotational() const override { return rotational_; }
  absl::StatusOr<std::unique_ptr<FileQueue>> OpenQueue(Executor& executor) override;
  absl::StatusOr<Extent> FindExtent(uint64_t offset) override;

  // kIoUring or kThreads.
  Engine engine() const { return options_.engine; }

 private:
  LinuxBlockFile(std::string path, int fd, const Options& options);
  absl::Status Look();
  absl::Status Lock();

  const std::string path_;
  const int fd_;
  Options options_;
  uint64_t bytes_ = 0;
  uint32_t alignment_ = 1;
  bool rotational_ = false;
  bool block_device_ = false;
  std::unique_ptr<FileThreads> threads_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_LINUX_BLOCK_FILE_H_
