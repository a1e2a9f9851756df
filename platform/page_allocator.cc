#include "platform/page_allocator.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <iterator>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace vmbuskit {

FirstFitPageAllocator::FirstFitPageAllocator(GuestMemory& memory, Pfn first, uint64_t count)
    : memory_(memory), first_(first), count_(count), free_pages_(count) {
  assert(first <= memory.page_count() && count <= memory.page_count() - first);
  if (count > 0) free_.emplace(first, count);
}

FirstFitPageAllocator::~FirstFitPageAllocator() {
  assert(used_.empty() && "a page run outlives its allocator");
}

absl::StatusOr<PageRun> FirstFitPageAllocator::Allocate(uint32_t count) {
  if (count == 0) return absl::InvalidArgumentError("page allocator: count is 0");
  absl::StatusOr<Pfn> first = Pfn{0};
  {
    const std::lock_guard lock(mutex_);
    first = TakeFirstFit(count);
  }
  if (!first.ok()) return first.status();
  PageRun run(this, *first, count);
  absl::StatusOr<std::span<std::byte>> bytes =
      memory_.Translate(run.gpa(), size_t{count} * kPageSize);
  if (!bytes.ok()) return bytes.status();
  std::memset(bytes->data(), 0, bytes->size());
  return run;
}

uint64_t FirstFitPageAllocator::allocated() const {
  const std::lock_guard lock(mutex_);
  return count_ - free_pages_ - leaked_pages_;
}

uint64_t FirstFitPageAllocator::leaked() const {
  const std::lock_guard lock(mutex_);
  return leaked_pages_;
}

uint64_t FirstFitPageAllocator::available() const {
  const std::lock_guard lock(mutex_);
  return free_pages_;
}

void FirstFitPageAllocator::Free(Pfn first, uint32_t count) {
  const std::lock_guard lock(mutex_);
  const bool was_allocated = TakeAllocated(first, count);
  assert(was_allocated && "pages freed that are not allocated");
  if (was_allocated) AddFree(first, count);
}

void FirstFitPageAllocator::Leak(Pfn first, uint32_t count) {
  const std::lock_guard lock(mutex_);
  const bool was_allocated = TakeAllocated(first, count);
  assert(was_allocated && "pages leaked that are not allocated");
  if (was_allocated) leaked_pages_ += count;
}

absl::StatusOr<Pfn> FirstFitPageAllocator::TakeFirstFit(uint32_t count) {
  uint64_t largest = 0;
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    const auto [first, length] = *it;
    largest = std::max(largest, length);
    if (length < count) continue;
    free_.erase(it);
    if (length > count) free_.emplace(first + count, length - count);
    free_pages_ -= count;
    used_.emplace(first, count);
    return first;
  }
  return absl::ResourceExhaustedError(absl::StrCat("page allocator at page ", first_, ": ", count,
                                                   " consecutive pages asked for, ", free_pages_,
                                                   " of ", count_, " free, largest run ", largest));
}

bool FirstFitPageAllocator::TakeAllocated(Pfn first, uint32_t count) {
  const auto it = used_.find(first);
  if (it == used_.end() || it->second != count) return false;
  used_.erase(it);
  return true;
}

void FirstFitPageAllocator::AddFree(Pfn first, uint64_t count) {
  free_pages_ += count;
  const auto after = free_.upper_bound(first);
  if (after != free_.end() && after->first == first + count) {
    count += after->second;
    free_.erase(after);
  }
  const auto next = free_.upper_bound(first);
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == first) {
      before->second += count;
      return;
    }
  }
  free_.emplace(first, count);
}

}  // namespace vmbuskit
