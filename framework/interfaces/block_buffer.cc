#include "framework/interfaces/block_buffer.h"

#include <cstring>
#include <new>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "framework/base/status.h"

namespace vmbuskit {

void BlockBuffer::FreeHeap::operator()(std::byte* data) const {
  ::operator delete[](data, std::align_val_t{kPageSize});
}

absl::StatusOr<BlockBuffer> BlockBuffer::OfGuest(GuestMemory& memory, PageAllocator& pages,
                                                 size_t bytes) {
  const uint64_t count = (uint64_t{bytes} + kPageSize - 1) / kPageSize;
  if (count == 0 || count > UINT32_MAX) {
    return absl::InvalidArgumentError(absl::StrCat("a buffer of ", bytes, " bytes"));
  }
  absl::StatusOr<PageRun> run = pages.Allocate(static_cast<uint32_t>(count));
  if (!run.ok()) return run.status();
  const absl::StatusOr<std::span<std::byte>> all = memory.Translate(run->gpa(), count * kPageSize);
  if (!all.ok()) return all.status();
  BlockBuffer buffer;
  buffer.run_ = *std::move(run);
  buffer.bytes_ = *all;
  return buffer;
}

BlockBuffer BlockBuffer::OfHeap(size_t bytes) {
  BlockBuffer buffer;
  buffer.heap_.reset(static_cast<std::byte*>(::operator new[](bytes, std::align_val_t{kPageSize})));
  buffer.bytes_ = {buffer.heap_.get(), bytes};
  std::memset(buffer.bytes_.data(), 0, bytes);
  return buffer;
}

}  // namespace vmbuskit
