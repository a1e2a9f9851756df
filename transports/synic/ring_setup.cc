#include "transports/synic/ring_setup.h"

#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "framework/channel/ring_mapping.h"
#include "transports/protocol/gpadl_messages.h"

namespace vmbuskit {
namespace {

absl::Status CheckRingBytes(const char* ring, uint32_t bytes) {
  if (bytes != 0 && bytes % kPageSize == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(ring, " ring: ", bytes, " data bytes, must be a multiple of 4096 above 0"));
}

// `count` pages that follow one another, mapped as a ring.
absl::StatusOr<Mapping> MapRing(GuestMemory& memory, Pfn first, uint64_t count) {
  std::vector<Pfn> pages(count);
  std::iota(pages.begin(), pages.end(), first);
  return memory.Map(RingOrder(pages));
}

}  // namespace

absl::StatusOr<GuestRings> MakeGuestRings(PageAllocator& pages, GuestMemory& memory,
                                          uint32_t send_bytes, uint32_t receive_bytes) {
  VMBUSKIT_RETURN_IF_ERROR(CheckRingBytes("send", send_bytes));
  VMBUSKIT_RETURN_IF_ERROR(CheckRingBytes("receive", receive_bytes));
  const uint64_t send_pages = send_bytes / kPageSize;
  const uint64_t receive_pages = receive_bytes / kPageSize;
  if (2 + send_pages + receive_pages > kGpadlPagesMax) {
    return absl::InvalidArgumentError(absl::StrCat("rings of ", send_bytes, " and ", receive_bytes,
                                                   " bytes do not fit into one GPADL"));
  }
  absl::StatusOr<PageRun> run =
      pages.Allocate(static_cast<uint32_t>(2 + send_pages + receive_pages));
  if (!run.ok()) return run.status();
  const Pfn up = run->first();
  const Pfn down = up + 1 + send_pages;
  absl::StatusOr<Mapping> outgoing = MapRing(memory, up, 1 + send_pages);
  if (!outgoing.ok()) return outgoing.status();
  absl::StatusOr<Mapping> incoming = MapRing(memory, down, 1 + receive_pages);
  if (!incoming.ok()) return incoming.status();

  GuestRings rings;
  rings.outgoing = RingOf(memory, up, outgoing->bytes());
  rings.incoming = RingOf(memory, down, incoming->bytes());
  rings.pages = *std::move(run);
  rings.outgoing_mapping = *std::move(outgoing);
  rings.incoming_mapping = *std::move(incoming);
  rings.downstream_page = static_cast<uint32_t>(1 + send_pages);
  return rings;
}

}  // namespace vmbuskit
