#include "transports/synic/ring_setup.h"

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "transports/protocol/gpadl_messages.h"

namespace vmbuskit {
namespace {

absl::Status CheckRingBytes(const char* ring, uint32_t bytes) {
  if (bytes != 0 && bytes % kPageSize == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(ring, " ring: ", bytes, " data bytes, must be a multiple of 4096 above 0"));
}

void AppendRing(std::vector<Pfn>& order, Pfn control, uint32_t data_pages) {
  order.push_back(control);
  for (int copy = 0; copy < 2; ++copy) {
    for (uint32_t i = 0; i < data_pages; ++i) order.push_back(control + 1 + i);
  }
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
  const auto downstream = static_cast<uint32_t>(1 + send_pages);
  std::vector<Pfn> order;
  order.reserve(2 + 2 * (send_pages + receive_pages));
  AppendRing(order, run->first(), static_cast<uint32_t>(send_pages));
  AppendRing(order, run->first() + downstream, static_cast<uint32_t>(receive_pages));
  absl::StatusOr<Mapping> mapping = memory.Map(order);
  if (!mapping.ok()) return mapping.status();

  GuestRings rings;
  std::byte* const up = mapping->bytes().data();
  std::byte* const down = up + (1 + 2 * send_pages) * kPageSize;
  rings.outgoing = {up, up + kPageSize, send_bytes};
  rings.incoming = {down, down + kPageSize, receive_bytes};
  std::memset(up, 0, kPageSize);
  std::memset(down, 0, kPageSize);
  rings.pages = *std::move(run);
  rings.mapping = *std::move(mapping);
  rings.downstream_page = downstream;
  return rings;
}

}  // namespace vmbuskit
