#include "framework/channel/ring_mapping.h"

namespace vmbuskit {

std::vector<Pfn> RingOrder(std::span<const Pfn> pages) {
  std::vector<Pfn> order(pages.begin(), pages.end());
  order.insert(order.end(), pages.begin() + 1, pages.end());
  return order;
}

RingMemory RingOf(GuestMemory& memory, Pfn control, std::span<std::byte> shown) {
  return {.control = memory.Translate(control * kPageSize, kPageSize)->data(),
          .data = shown.data() + kPageSize,
          .data_bytes = static_cast<uint32_t>((shown.size() - kPageSize) / 2)};
}

}  // namespace vmbuskit
