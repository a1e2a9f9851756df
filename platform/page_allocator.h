// Hands out the pages of one range of guest memory: first fit, neighbours join again when they are freed.
//
//   FirstFitPageAllocator pages(memory, /*first=*/256, /*count=*/4096);
//   absl::StatusOr<PageRun> ring = pages.Allocate(17);      // zeroed; returned when `ring` dies
//
// Thread safety: any thread; control paths only (a lock, a search, memory to account with).
// Lifetime: must outlive the runs it gave, except leaked ones. Units: pages of 4096 bytes.
// Errors: ResourceExhausted names what was asked for, what is free and the largest run of it. Freeing what is not
// allocated is a programming error: an assertion, and without assertions nothing happens.
// Source: protocol 02 section 5.4 (pages that the host may still use are leaked, never reused).
#ifndef VMBUSKIT_PLATFORM_PAGE_ALLOCATOR_H_
#define VMBUSKIT_PLATFORM_PAGE_ALLOCATOR_H_

#include <cstdint>
#include <map>
#include <mutex>

#include "absl/status/statusor.h"
#include "platform/memory.h"

namespace vmbuskit {

class FirstFitPageAllocator final : public PageAllocator {
 public:
  // The range must lie in `memory`, which must outlive the allocator, and belong to nobody else.
  FirstFitPageAllocator(GuestMemory& memory, Pfn first, uint64_t count);
  ~FirstFitPageAllocator() override;
  FirstFitPageAllocator(const FirstFitPageAllocator&) = delete;
  FirstFitPageAllocator& operator=(const FirstFitPageAllocator&) = delete;

  absl::StatusOr<PageRun> Allocate(uint32_t count) override;

  // Pages in use, lost, and ready; together they are always the whole range.
  uint64_t allocated() const override;
  uint64_t leaked() const override;
  uint64_t available() const;

 private:
  using Runs = std::map<Pfn, uint64_t>;  // number of pages by first page

  void Free(Pfn first, uint32_t count) override;
  void Leak(Pfn first, uint32_t count) override;

  // With mutex_ held. TakeAllocated is false when there is no such run.
  absl::StatusOr<Pfn> TakeFirstFit(uint32_t count);
  bool TakeAllocated(Pfn first, uint32_t count);
  void AddFree(Pfn first, uint64_t count);

  GuestMemory& memory_;
  const Pfn first_;
  const uint64_t count_;
  mutable std::mutex mutex_;
  Runs free_;
  Runs used_;
  uint64_t free_pages_ = 0;
  uint64_t leaked_pages_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_PAGE_ALLOCATOR_H_
