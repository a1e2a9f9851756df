#include "transports/embedded_host/gpadl_assembly.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "framework/base/status.h"
#include "transports/protocol/gpadl_messages.h"

namespace vmbuskit {

absl::StatusOr<GpadlAssembly> GpadlAssembly::Begin(uint16_t range_bytes, uint16_t range_count) {
  if (range_count == 0) return Violation("GPADL", "range_count", 0, "at least 1");
  // Each range takes its word and at least one page number.
  if (range_bytes / 16 < range_count) {
    return Violation("GPADL", "range_bytes", range_bytes, "at least 16 a range");
  }
  return GpadlAssembly(range_bytes / 8u, range_count);
}

absl::StatusOr<GpadlAssembly> GpadlAssembly::Restore(uint32_t qwords_needed, uint32_t range_count,
                                                     std::span<const std::byte> arrived) {
  if (qwords_needed > 0xFFFF / 8 || range_count > 0xFFFF || arrived.size() > qwords_needed * 8u ||
      arrived.size() % 8 != 0) {
    return Violation("GPADL", "qwords", arrived.size() / 8, "of less than 64 KiB, once");
  }
  absl::StatusOr<GpadlAssembly> assembly =
      Begin(static_cast<uint16_t>(qwords_needed * 8), static_cast<uint16_t>(range_count));
  if (assembly.ok()) assembly->Append(arrived);
  return assembly;
}

std::vector<uint64_t> GpadlPages::ToQwords() const {
  std::vector<uint64_t> qwords;
  qwords.reserve(ranges.size() + pfns.size());
  for (const Range& range : ranges) {
    qwords.push_back(range.byte_count | uint64_t{range.byte_offset} << 32);
    const auto first = pfns.begin() + range.first_page;
    qwords.insert(qwords.end(), first, first + range.page_count);
  }
  return qwords;
}

void GpadlAssembly::Append(std::span<const std::byte> bytes) {
  const size_t old_size = qwords_.size();
  const size_t count = std::min(bytes.size() / 8, qwords_needed_ - old_size);
  if (count == 0) return;
  qwords_.resize(old_size + count);
  std::memcpy(qwords_.data() + old_size, bytes.data(), count * 8);
}

absl::StatusOr<GpadlPages> GpadlAssembly::Finish(uint64_t page_limit) && {
  GpadlPages pages;
  size_t at = 0;
  for (uint32_t i = 0; i < range_count_; ++i) {
    if (at == qwords_.size()) return Violation("GPADL", "ranges listed", i, "fewer than announced");
    const uint64_t word = qwords_[at++];
    const uint32_t byte_count = static_cast<uint32_t>(word);
    const uint32_t byte_offset = static_cast<uint32_t>(word >> 32);
    if (byte_count == 0) return Violation("GPADL range", "byte_count", 0, "at least 1");
    if (byte_offset >= kPageSize) {
      return Violation("GPADL range", "byte_offset", byte_offset, "below 4096");
    }
    const uint64_t page_count = RangePageCount(byte_offset, byte_count);
    if (page_count > qwords_.size() - at) {
      return Violation("GPADL range", "pages listed", qwords_.size() - at, "fewer than it needs");
    }
    pages.ranges.push_back({.byte_count = byte_count,
                            .byte_offset = byte_offset,
                            .first_page = static_cast<uint32_t>(pages.pfns.size()),
                            .page_count = static_cast<uint32_t>(page_count)});
    for (uint64_t page = 0; page < page_count; ++page) {
      const Pfn pfn = qwords_[at++];
      if (pfn >= page_limit) return Violation("GPADL range", "page number", pfn, "beyond memory");
      pages.pfns.push_back(pfn);
    }
  }
  return pages;
}

}  // namespace vmbuskit
