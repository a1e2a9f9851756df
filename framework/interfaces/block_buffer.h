// Memory for block requests: bytes at consecutive addresses, and at consecutive guest addresses when a driver made it.
//
//   absl::StatusOr<BlockBuffer> buffer = disk.AllocateBuffer(128 * 1024);
//   const BlockSegment segment = {buffer->bytes().data() + 4096, 4096, buffer->gpa(4096)};
//
// Thread safety: a plain owner; may be destroyed on any thread. Ownership: owns the memory. Must go before the guest
// memory that it is part of.
#ifndef VMBUSKIT_FRAMEWORK_INTERFACES_BLOCK_BUFFER_H_
#define VMBUSKIT_FRAMEWORK_INTERFACES_BLOCK_BUFFER_H_

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "platform/memory.h"

namespace vmbuskit {

class BlockBuffer {
 public:
  BlockBuffer() = default;

  // Zeroed guest pages, for `bytes` rounded up to whole pages. ResourceExhausted.
  static absl::StatusOr<BlockBuffer> OfGuest(GuestMemory& memory, PageAllocator& pages,
                                             size_t bytes);
  // Zeroed memory of the process, aligned to a page.
  static BlockBuffer OfHeap(size_t bytes);

  std::span<std::byte> bytes() const { return bytes_; }
  // Of the byte at `offset`; BlockSegment::kNoGpa when it is not guest memory.
  Gpa gpa(size_t offset = 0) const { return run_ ? run_.gpa() + offset : ~Gpa{0}; }

 private:
  struct FreeHeap {
    void operator()(std::byte* data) const;
  };

  PageRun run_;
  std::unique_ptr<std::byte, FreeHeap> heap_;
  std::span<std::byte> bytes_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_INTERFACES_BLOCK_BUFFER_H_
