// The memory of one channel's two rings: pages for the host, a double mapping for the guest.
//
//   absl::StatusOr<GuestRings> rings = MakeGuestRings(pages, memory, 64 * 1024, 64 * 1024);
//   GpadlRange ring = GpadlRange::Pages(rings->pages.first(), rings->pages.count());
//
// Laid out as [control up][data up][control down][data down]; up is guest to host. In the mapping
// each data area stands twice in a row, so that no packet wraps. Source: protocol 02 sections 5.2
// and 7.1.
//
// Ownership: a value that owns pages and mappings; the mappings must go first (they do, at
// destruction), and the pages only after the host let go of them. Errors: InvalidArgument for sizes
// that no ring can have.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_RING_SETUP_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_RING_SETUP_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "framework/channel/ring_memory.h"
#include "platform/memory.h"

namespace vmbuskit {

struct GuestRings {
  PageRun pages;
  Mapping outgoing_mapping;
  Mapping incoming_mapping;
  RingMemory outgoing;
  RingMemory incoming;
  uint32_t downstream_page = 0;  // where the host-to-guest ring begins, in pages

  void Unmap() {
    outgoing_mapping.Reset();
    incoming_mapping.Reset();
    outgoing = incoming = {};
  }
};

// Zeroed, control pages included. Sizes are data bytes, multiples of 4096.
absl::StatusOr<GuestRings> MakeGuestRings(PageAllocator& pages, GuestMemory& memory,
                                          uint32_t send_bytes, uint32_t receive_bytes);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_RING_SETUP_H_
