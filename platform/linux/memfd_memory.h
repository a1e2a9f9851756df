// Guest memory in a memory file: pages 0 .. N-1 of a software guest, filled by the kernel when they are first
// touched, mappable in any order and shareable with another process through fd().
//
//   absl::StatusOr<std::unique_ptr<MemfdMemory>> memory = MemfdMemory::Create({.page_count = 16384});
//   absl::StatusOr<Mapping> ring = (*memory)->Map({{5, 6, 7, 6, 7}});
//
// An inaccessible guard page lies behind every mapping, so that running over its end is a fault, not a leak.
//
// Thread safety: any thread. Lifetime: must outlive its mappings and what Translate gave. Units: pages of 4096 bytes.
// Errors: OutOfRange names page or address and the limit; a failed system call becomes the status of its errno and
// names the call.
#ifndef VMBUSKIT_PLATFORM_LINUX_MEMFD_MEMORY_H_
#define VMBUSKIT_PLATFORM_LINUX_MEMFD_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/memory.h"

namespace vmbuskit {

class MemfdMemory final : public GuestMemory {
 public:
  struct Options {
    uint64_t page_count = 0;  // at least 1
    // Asks for transparent huge pages, which the kernel gives or not. The file itself is never one of huge pages
    // (MFD_HUGETLB): those can only be mapped 2 MiB at a time, and rings are mapped page by page.
    bool huge_pages = false;
  };

  static absl::StatusOr<std::unique_ptr<MemfdMemory>> Create(const Options& options);

  // The memory behind `fd`, as another process made it with Create and sent it; takes the descriptor in any case.
  // Refuses a file that its maker could still shrink, which would turn accesses into SIGBUS.
  static absl::StatusOr<std::unique_ptr<MemfdMemory>> Adopt(int fd);

  ~MemfdMemory() override;
  MemfdMemory(const MemfdMemory&) = delete;
  MemfdMemory& operator=(const MemfdMemory&) = delete;

  uint64_t page_count() const override { return page_count_; }
  absl::StatusOr<std::span<std::byte>> Translate(Gpa gpa, size_t length) override;
  absl::StatusOr<Mapping> Map(std::span<const Pfn> pages) override;

  // Pages shown by live mappings, each as often as it is shown; guard pages do not count.
  uint64_t mapped_pages() const { return mapped_pages_.load(std::memory_order_relaxed); }

  // For a peer process; stays this object's.
  int fd() const { return fd_; }

 private:
  MemfdMemory(int fd, std::byte* base, uint64_t page_count)
      : fd_(fd), base_(base), page_count_(page_count) {}

  static absl::StatusOr<std::unique_ptr<MemfdMemory>> MapWhole(int fd, uint64_t page_count);
  // Lays `pages` over reserved addresses at `area`.
  absl::Status MapRuns(std::byte* area, std::span<const Pfn> pages);
  static void Unmap(std::byte* data, size_t size, void* context);

  const int fd_;
  std::byte* const base_;
  const uint64_t page_count_;
  std::atomic<uint64_t> mapped_pages_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_MEMFD_MEMORY_H_
