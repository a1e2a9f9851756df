// How an end of a channel sees a ring that lies in guest pages: the data pages twice in a row, so that no packet wraps.
//
//   absl::StatusOr<Mapping> shown = memory.Map(RingOrder(pages));    // pages: the control page, then the data pages
//   RingMemory ring = RingOf(memory, pages[0], shown->bytes());      // valid as long as the mapping is
//
// Both ends that live in one process use the control page at one address, that of GuestMemory itself: a tool that
// orders accesses by address (ThreadSanitizer) then sees that what a packet announces was written before it was read.
//
// Thread safety: none needed. Ownership: RingMemory is a view of the mapping. Source: protocol 02 section 7.1.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_RING_MAPPING_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_RING_MAPPING_H_

#include <cstddef>
#include <span>
#include <vector>

#include "framework/channel/ring_memory.h"
#include "platform/memory.h"

namespace vmbuskit {

// `pages`: at least two.
std::vector<Pfn> RingOrder(std::span<const Pfn> pages);

// `shown`: the pages of RingOrder, mapped, which says that `control` exists.
RingMemory RingOf(GuestMemory& memory, Pfn control, std::span<std::byte> shown);

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_RING_MAPPING_H_
