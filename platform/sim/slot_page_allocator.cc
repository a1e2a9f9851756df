#include "platform/sim/slot_page_allocator.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace vmbuskit {
namespace {

// Pages of one slot of every length below `count`.
constexpr uint64_t PagesBelow(uint64_t count) { return count * (count - 1) / 2; }

constexpr uint32_t Slots(uint32_t count) {
  if (count > SlotPageAllocator::kLongMax) return 0;
  return count <= SlotPageAllocator::kShortMax ? SlotPageAllocator::kShortSlots
                                               : SlotPageAllocator::kLongSlots;
}

}  // namespace

SlotPageAllocator::SlotPageAllocator(GuestMemory& memory, Pfn first)
    : memory_(memory), first_(first), overflow_(memory, first + kSlotPages, kOverflowPages) {}

SlotPageAllocator::~SlotPageAllocator() {
  assert(allocated_ == 0 && "a page run outlives its allocator");
}

absl::StatusOr<PageRun> SlotPageAllocator::Allocate(uint32_t count) {
  const auto slot = count > kLongMax ? 0 : static_cast<uint32_t>(std::countr_one(used_[count]));
  if (count == 0 || slot >= Slots(count)) return overflow_.Allocate(count);
  const Pfn first = SlotsOf(count) + uint64_t{slot} * count;
  const auto bytes = memory_.Translate(first * kPageSize, size_t{count} * kPageSize);
  if (!bytes.ok()) return bytes.status();
  std::memset(bytes->data(), 0, bytes->size());
  used_[count] |= uint32_t{1} << slot;
  allocated_ += count;
  return PageRun(this, first, count);
}

Pfn SlotPageAllocator::SlotsOf(uint32_t count) const {
  const uint64_t below = PagesBelow(std::min(count, kShortMax + 1)) * kShortSlots;
  if (count <= kShortMax) return first_ + below;
  return first_ + below + (PagesBelow(count) - PagesBelow(kShortMax + 1)) * kLongSlots;
}

void SlotPageAllocator::Free(Pfn first, uint32_t count) {
  const uint32_t bit = uint32_t{1} << (first - SlotsOf(count)) / count;
  assert((used_[count] & bit) != 0 && "pages freed that are not allocated");
  used_[count] &= ~bit;
  allocated_ -= count;
}

void SlotPageAllocator::Leak(Pfn first, uint32_t count) {
  assert((used_[count] & uint32_t{1} << (first - SlotsOf(count)) / count) != 0);
  (void)first;
  allocated_ -= count;  // the slot stays used
  leaked_ += count;
}

}  // namespace vmbuskit
