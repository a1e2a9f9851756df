#include "platform/linux/linux_block_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "platform/linux/executor.h"
#include "platform/linux/thread_file_queue.h"
#include "platform/linux/uring_file_queue.h"

namespace vmbuskit {
namespace {

absl::Status Errno(const std::string& path, std::string_view what) {
  return absl::ErrnoToStatus(
      errno, absl::StrCat("disk image ", path, ": ", absl::string_view(what.data(), what.size())));
}

// A file that reaches its limit (RLIMIT_FSIZE) is an error of the operation; by default it is the end of the process.
void OutliveFileLimit() {
  struct sigaction action = {};
  if (sigaction(SIGXFSZ, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) return;
  action.sa_handler = SIG_IGN;
  sigaction(SIGXFSZ, &action, nullptr);
}

// /sys/dev/block/MAJOR:MINOR/queue/rotational; a partition has it one folder up.
bool IsRotational(dev_t device) {
  const std::string folder = absl::StrCat("/sys/dev/block/", major(device), ":", minor(device));
  for (const char* path : {"/queue/rotational", "/../queue/rotational"}) {
    std::ifstream file(folder + path);
    int value;
    if (file >> value) return value == 1;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LinuxBlockFile>> LinuxBlockFile::Open(const std::string& path,
                                                                     const Options& options) {
  struct stat facts;
  if (stat(path.c_str(), &facts) != 0) return Errno(path, "cannot be found");
  if (!S_ISREG(facts.st_mode) && !S_ISBLK(facts.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("disk image ", path, ": neither a file nor a block device"));
  }
  const int fd = open(path.c_str(),
                      (options.read_only ? O_RDONLY : O_RDWR) | (options.direct ? O_DIRECT : 0) |
                          (S_ISBLK(facts.st_mode) && !options.read_only ? O_EXCL : 0) | O_CLOEXEC);
  if (fd < 0 && errno == EINVAL && options.direct) {
    return absl::InvalidArgumentError(absl::StrCat(
        "disk image ", path, ": its file system cannot go past the page cache (direct)"));
  }
  if (fd < 0 && errno == EBUSY) {
    return absl::FailedPreconditionError(
        absl::StrCat("disk image ", path, ": in use by somebody else"));
  }
  if (fd < 0)
    return Errno(path, options.read_only ? "cannot be opened" : "cannot be opened for writing");
  if (!options.read_only) OutliveFileLimit();
  std::unique_ptr<LinuxBlockFile> file(new LinuxBlockFile(path, fd, options));
  if (absl::Status status = file->Lock(); !status.ok()) return status;
  if (absl::Status status = file->Look(); !status.ok()) return status;
  return file;
}

LinuxBlockFile::LinuxBlockFile(std::string path, int fd, const Options& options)
    : path_(std::move(path)), fd_(fd), options_(options) {}

LinuxBlockFile::~LinuxBlockFile() {
  threads_.reset();
  close(fd_);
}

absl::Status LinuxBlockFile::Lock() {
  struct flock lock = {};
  lock.l_type = static_cast<short>(options_.read_only ? F_RDLCK : F_WRLCK);
  lock.l_whence = SEEK_SET;
  lock.l_len = 1;
  if (fcntl(fd_, F_OFD_SETLK, &lock) == 0) return absl::OkStatus();
  if (errno == EACCES || errno == EAGAIN) {
    return absl::FailedPreconditionError(
        absl::StrCat("disk image ", path_, ": locked by somebody else who serves it"));
  }
  return Errno(path_, "cannot be locked");
}

absl::Status LinuxBlockFile::Look() {
  struct stat facts;
  if (fstat(fd_, &facts) != 0) return Errno(path_, "cannot be looked at");
  block_device_ = S_ISBLK(facts.st_mode);
  if (block_device_) {
    int sector = 512;
    if (ioctl(fd_, BLKGETSIZE64, &bytes_) != 0) return Errno(path_, "has no size");
    if (ioctl(fd_, BLKSSZGET, &sector) != 0) return Errno(path_, "has no sector size");
    alignment_ = options_.direct ? static_cast<uint32_t>(sector) : 1;
  } else {
    bytes_ = static_cast<uint64_t>(facts.st_size);
    alignment_ = options_.direct ? 512 : 1;
  }
  rotational_ = IsRotational(block_device_ ? facts.st_rdev : facts.st_dev);
  if (bytes_ < 512)
    return absl::InvalidArgumentError(
        absl::StrCat("disk image ", path_, ": has only ", bytes_, " bytes"));

  if (options_.engine == Engine::kBest) {
    io_uring probe;
    const bool there = io_uring_queue_init(2, &probe, 0) == 0;
    if (there) io_uring_queue_exit(&probe);
    options_.engine = there ? Engine::kIoUring : Engine::kThreads;
  }
  if (options_.engine == Engine::kThreads)
    threads_ = std::make_unique<FileThreads>(fd_, options_.threads);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileQueue>> LinuxBlockFile::OpenQueue(Executor& executor) {
  if (threads_ != nullptr) return threads_->OpenQueue(executor);
  return UringFileQueue::Create(static_cast<LinuxExecutor&>(executor), fd_,
                                {.depth = options_.depth, .page_cache = !options_.direct});
}

absl::StatusOr<BlockFile::Extent> LinuxBlockFile::FindExtent(uint64_t offset) {
  if (offset >= bytes_)
    return absl::OutOfRangeError(absl::StrCat("offset ", offset, " of ", bytes_));
  const auto at = static_cast<off_t>(offset);
  const off_t data = lseek(fd_, at, SEEK_DATA);
  if (data < 0 && errno == ENXIO) return Extent{bytes_ - offset, false};
  if (data < 0) return Extent{bytes_ - offset, true};  // it cannot tell
  if (data > at) return Extent{std::min(static_cast<uint64_t>(data), bytes_) - offset, false};
  const off_t hole = lseek(fd_, at, SEEK_HOLE);
  const uint64_t end = hole < 0 ? bytes_ : std::min(static_cast<uint64_t>(hole), bytes_);
  // A hole at `offset` itself: somebody changed the file between the two calls.
  return Extent{end > offset ? end - offset : bytes_ - offset, true};
}

}  // namespace vmbuskit
