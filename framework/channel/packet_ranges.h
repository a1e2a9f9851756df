// The range lists between descriptor and payload: transfer pages (type 7) and GPA-direct (type 9),
// built and checked without allocation. Source: protocol 02 sections 8.2 and 8.3.
//
//   std::byte space[GpaDirectBytes(pfns.size())];
//   packet.extension = BuildMultiPage(space, offset, length, pfns);         // guest
//   auto ranges = GpaDirectRanges::Parse(packet.extension);                 // host; nullopt: the
//   peer lies GpaSegment segment; for (GpaCursor cursor(*ranges); cursor.Next(segment);)
//   Use(segment.gpa, segment.length);
//
// Thread safety: plain values. Lifetime: views refer to the bytes they were parsed from, which must
// be a private copy (a Packet's extension). Units: bytes; a PFN counts 4096-byte pages.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_PACKET_RANGES_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_PACKET_RANGES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "platform/memory.h"

namespace vmbuskit {

// ---- Transfer pages: parts of a buffer that both sides know by a set id (a GPADL).

struct TransferRange {
  uint32_t length = 0;
  uint32_t offset = 0;  // into the buffer
  friend bool operator==(const TransferRange&, const TransferRange&) = default;
};

constexpr size_t TransferPagesBytes(size_t ranges) { return 8 + 8 * ranges; }

// The extension in `space`; empty when that is too small or there is no range.
std::span<const std::byte> BuildTransferPages(std::span<std::byte> space, uint16_t set_id,
                                              std::span<const TransferRange> ranges);

class TransferPages {
 public:
  // nullopt: more ranges than fit, none, or one that reaches past `buffer_bytes`.
  static std::optional<TransferPages> Parse(std::span<const std::byte> extension,
                                            uint64_t buffer_bytes);

  uint16_t set_id() const { return set_id_; }
  uint32_t size() const { return count_; }
  TransferRange operator[](uint32_t index) const;  // index < size()

 private:
  TransferPages(const std::byte* ranges, uint32_t count, uint16_t set_id)
      : ranges_(ranges), count_(count), set_id_(set_id) {}

  const std::byte* ranges_;
  uint32_t count_;
  uint16_t set_id_;
};

// ---- GPA-direct: guest pages by number.

inline constexpr size_t kMaxPageBuffers = 32;

// Bytes inside one page.
struct PageBuffer {
  Pfn pfn = 0;
  uint32_t offset = 0;  // below 4096
  uint32_t length = 0;  // at least 1; offset + length at most 4096
};

constexpr size_t PageBuffersBytes(size_t buffers) { return 8 + 16 * buffers; }
constexpr size_t GpaDirectBytes(size_t pfns) { return 16 + 8 * pfns; }  // one range

// Pages that [offset, offset + length) touches, counted from the page of offset 0.
constexpr uint64_t PagesSpanned(uint32_t offset, uint32_t length) {
  return (uint64_t{offset} + length + kPageSize - 1) / kPageSize;
}

// "Page buffer" form: 1 to 32 ranges of one page each. Empty when `space` is too small or a rule is
// broken.
std::span<const std::byte> BuildPageBuffers(std::span<std::byte> space,
                                            std::span<const PageBuffer> buffers);

// "Multi-page" form: one range. `pfns` must be exactly the pages that it spans. Empty as above.
std::span<const std::byte> BuildMultiPage(std::span<std::byte> space, uint32_t offset,
                                          uint32_t length, std::span<const Pfn> pfns);

// Any number of ranges of any number of pages: both forms, and what other guests send.
class GpaDirectRanges {
 public:
  // nullopt: no range, ranges or PFNs that do not fit, an empty range, an offset of a page or more,
  // or a page number that no 64-bit address has.
  static std::optional<GpaDirectRanges> Parse(std::span<const std::byte> extension);

  uint32_t range_count() const { return count_; }
  uint64_t total_bytes() const { return total_bytes_; }

 private:
  friend class GpaCursor;
  GpaDirectRanges(const std::byte* ranges, uint32_t count, uint64_t total_bytes)
      : ranges_(ranges), count_(count), total_bytes_(total_bytes) {}

  const std::byte* ranges_;
  uint32_t count_;
  uint64_t total_bytes_;
};

struct GpaSegment {
  Gpa gpa = 0;
  uint32_t length = 0;  // at least 1
  friend bool operator==(const GpaSegment&, const GpaSegment&) = default;
};

// Walks over parsed ranges in order, one segment per run of consecutive guest addresses inside a
// range.
class GpaCursor {
 public:
  explicit GpaCursor(const GpaDirectRanges& ranges)
      : next_(ranges.ranges_), ranges_left_(ranges.count_) {}

  // False at the end.
  bool Next(GpaSegment& segment);

 private:
  bool NextRange();

  const std::byte* next_;  // the next range's head, or the next PFN while length_left_ != 0
  uint32_t ranges_left_;
  uint32_t offset_ = 0;       // into the next page
  uint32_t length_left_ = 0;  // of the current range
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_PACKET_RANGES_H_
