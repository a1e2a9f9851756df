#include "platform/linux/memfd_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cassert>
#include <limits>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kPageCountMax = std::numeric_limits<int64_t>::max() / kPageSize;

// Closes a descriptor that has not found its owner.
class FdGuard {
 public:
  explicit FdGuard(int fd) : fd_(fd) {}
  ~FdGuard() {
    if (fd_ >= 0) close(fd_);
  }
  FdGuard(const FdGuard&) = delete;
  FdGuard& operator=(const FdGuard&) = delete;
  int get() const { return fd_; }
  void release() { fd_ = -1; }

 private:
  int fd_;
};

absl::Status SystemError(const char* call, uint64_t page_count) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat("guest memory of ", page_count, " pages: ", call));
}

absl::Status CheckPageSize() {
  const auto size = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (size == kPageSize) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("guest memory: the machine's page size is ",
                                                    size, ", mapping guest pages needs ",
                                                    kPageSize));
}

}  // namespace

absl::StatusOr<std::unique_ptr<MemfdMemory>> MemfdMemory::Create(const Options& options) {
  if (absl::Status status = CheckPageSize(); !status.ok()) return status;
  if (options.page_count == 0 || options.page_count > kPageCountMax) {
    return absl::InvalidArgumentError(absl::StrCat("guest memory: page_count is ",
                                                   options.page_count, ", limit ", kPageCountMax));
  }
  FdGuard fd(memfd_create("vmbuskit-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd.get() < 0) return SystemError("memfd_create", options.page_count);
  if (ftruncate(fd.get(), static_cast<off_t>(options.page_count * kPageSize)) != 0) {
    return SystemError("ftruncate", options.page_count);
  }
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return SystemError("F_ADD_SEALS", options.page_count);
  }
  absl::StatusOr<std::unique_ptr<MemfdMemory>> memory = MapWhole(fd.get(), options.page_count);
  if (!memory.ok()) return memory;
  fd.release();
  if (options.huge_pages) {
    // A wish: a kernel without transparent huge pages for shared memory refuses, and nothing is lost.
    (void)madvise((*memory)->base_, options.page_count * kPageSize, MADV_HUGEPAGE);
  }
  return memory;
}

absl::StatusOr<std::unique_ptr<MemfdMemory>> MemfdMemory::Adopt(int fd) {
  FdGuard guard(fd);
  if (absl::Status status = CheckPageSize(); !status.ok()) return status;
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0) return SystemError("F_GET_SEALS", 0);
  if ((seals & F_SEAL_SHRINK) == 0) {
    return absl::FailedPreconditionError(absl::StrCat("guest memory: seals of the descriptor are ",
                                                      seals, " without F_SEAL_SHRINK"));
  }
  struct stat file;
  if (fstat(fd, &file) != 0) return SystemError("fstat", 0);
  const auto size = static_cast<uint64_t>(file.st_size);
  if (size == 0 || size % kPageSize != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("guest memory: size of the descriptor is ", size, ", not whole pages"));
  }
  absl::StatusOr<std::unique_ptr<MemfdMemory>> memory = MapWhole(fd, size / kPageSize);
  if (memory.ok()) guard.release();
  return memory;
}

absl::StatusOr<std::unique_ptr<MemfdMemory>> MemfdMemory::MapWhole(int fd, uint64_t page_count) {
  void* base = mmap(nullptr, page_count * kPageSize, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (base == MAP_FAILED) return SystemError("mmap", page_count);
  return std::unique_ptr<MemfdMemory>(
      new MemfdMemory(fd, static_cast<std::byte*>(base), page_count));
}

MemfdMemory::~MemfdMemory() {
  assert(mapped_pages() == 0 && "a mapping outlives its memory");
  munmap(base_, page_count_ * kPageSize);
  close(fd_);
}

absl::StatusOr<std::span<std::byte>> MemfdMemory::Translate(Gpa gpa, size_t length) {
  const uint64_t size = page_count_ * kPageSize;
  if (gpa > size || length > size - gpa) {
    return absl::OutOfRangeError(absl::StrCat("guest memory: ", length, " bytes at address ", gpa,
                                              " (page ", gpa / kPageSize, ") pass the end at page ",
                                              page_count_));
  }
  return std::span<std::byte>(base_ + gpa, length);
}

absl::StatusOr<Mapping> MemfdMemory::Map(std::span<const Pfn> pages) {
  if (pages.empty()) return absl::InvalidArgumentError("guest memory: no pages to map");
  for (size_t i = 0; i < pages.size(); ++i) {
    if (pages[i] < page_count_) continue;
    return absl::OutOfRangeError(absl::StrCat("guest memory: page ", pages[i], " (number ", i,
                                              " of ", pages.size(), " to map), limit ",
                                              page_count_));
  }
  const size_t size = pages.size() * kPageSize;
  void* area = mmap(nullptr, size + kPageSize, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) return SystemError("reserving addresses", pages.size());
  auto* data = static_cast<std::byte*>(area);
  if (absl::Status status = MapRuns(data, pages); !status.ok()) {
    munmap(area, size + kPageSize);
    return status;
  }
  mapped_pages_.fetch_add(pages.size(), std::memory_order_relaxed);
  return Mapping({data, size}, &MemfdMemory::Unmap, this);
}

absl::Status MemfdMemory::MapRuns(std::byte* area, std::span<const Pfn> pages) {
  for (size_t begin = 0; begin < pages.size();) {
    size_t end = begin + 1;
    while (end < pages.size() && pages[end] == pages[end - 1] + 1) ++end;
    void* mapped = mmap(area + begin * kPageSize, (end - begin) * kPageSize, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd_,
                        static_cast<off_t>(pages[begin] * kPageSize));
    if (mapped == MAP_FAILED) return SystemError("mapping a run of pages", pages.size());
    begin = end;
  }
  return absl::OkStatus();
}

void MemfdMemory::Unmap(std::byte* data, size_t size, void* context) {
  munmap(data, size + kPageSize);
  static_cast<MemfdMemory*>(context)->mapped_pages_.fetch_sub(size / kPageSize,
                                                              std::memory_order_relaxed);
}

}  // namespace vmbuskit
