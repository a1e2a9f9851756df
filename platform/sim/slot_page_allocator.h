// Hands out guest pages so that runs of the same length lie at few different places: that of the lowest slot of their
// length that is free. With ReusedMemory nearly every mapping of a simulation is then one that an earlier one made.
// Which pages a caller gets depends on nothing but the calls before.
//
//   SlotPageAllocator pages(memory, /*first=*/256);          // needs kPages pages from there
//   absl::StatusOr<PageRun> ring = pages.Allocate(17);       // zeroed; returned when `ring` dies
//
// Runs that find no slot (very long ones, very many) come from a FirstFitPageAllocator behind the slots.
//
// Thread safety: one thread. Lifetime: must outlive the runs it gave, except leaked ones. Units: pages of 4096
// bytes. Errors: those of FirstFitPageAllocator.
#ifndef VMBUSKIT_PLATFORM_SIM_SLOT_PAGE_ALLOCATOR_H_
#define VMBUSKIT_PLATFORM_SIM_SLOT_PAGE_ALLOCATOR_H_

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "platform/memory.h"
#include "platform/page_allocator.h"

namespace vmbuskit {

class SlotPageAllocator final : public PageAllocator {
 public:
  static constexpr uint32_t kShortMax = 24;  // pages of a run that has many slots
  static constexpr uint32_t kLongMax = 96;   // ... of one that has few
  static constexpr uint32_t kShortSlots = 32;
  static constexpr uint32_t kLongSlots = 2;
  static constexpr uint64_t kOverflowPages = 8192;
  static constexpr uint64_t kSlotPages = kShortSlots * (uint64_t{kShortMax} * (kShortMax + 1) / 2) +
                                         kLongSlots * (uint64_t{kLongMax} * (kLongMax + 1) / 2 -
                                                       uint64_t{kShortMax} * (kShortMax + 1) / 2);
  static constexpr uint64_t kPages = kSlotPages + kOverflowPages;

  // The range [first, first + kPages) must lie in `memory`, which must outlive the allocator, and belong to nobody
  // else.
  SlotPageAllocator(GuestMemory& memory, Pfn first);
  ~SlotPageAllocator() override;
  SlotPageAllocator(const SlotPageAllocator&) = delete;
  SlotPageAllocator& operator=(const SlotPageAllocator&) = delete;

  absl::StatusOr<PageRun> Allocate(uint32_t count) override;
  uint64_t allocated() const override { return allocated_ + overflow_.allocated(); }
  uint64_t leaked() const override { return leaked_ + overflow_.leaked(); }

 private:
  void Free(Pfn first, uint32_t count) override;
  void Leak(Pfn first, uint32_t count) override;
  Pfn SlotsOf(uint32_t count) const;  // where the slots of runs of that length begin

  GuestMemory& memory_;
  const Pfn first_;
  std::array<uint32_t, kLongMax + 1> used_{};  // by length: a bit for each slot
  uint64_t allocated_ = 0;
  uint64_t leaked_ = 0;
  FirstFitPageAllocator overflow_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_SIM_SLOT_PAGE_ALLOCATOR_H_
