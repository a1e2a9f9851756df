// Splits a list of guest page ranges into GPADL_HEADER and as many GPADL_BODY messages as it takes.
//
//   const GpadlRange ring = GpadlRange::Pages(first_pfn, 34);
//   absl::StatusOr<GpadlMessages> messages = GpadlMessages::Create(relid, handle, {&ring, 1});
//   MessageBuffer message;
//   while (messages->Next(message)) Post(message.bytes());   // back to back
//
// Allocates nothing; the ranges must outlive the iteration. Thread safety: none; a local value.
// Units: byte counts and offsets in bytes, page numbers of 4 KiB pages.
// Source: protocol 02 section 5.1.
#ifndef VMBUSKIT_TRANSPORTS_PROTOCOL_GPADL_MESSAGES_H_
#define VMBUSKIT_TRANSPORTS_PROTOCOL_GPADL_MESSAGES_H_

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "platform/memory.h"
#include "transports/protocol/message_buffer.h"

namespace vmbuskit {

inline constexpr size_t kGpadlHeaderQwords = (kMessageBytesMax - sizeof(GpadlHeaderMessage)) / 8;
inline constexpr size_t kGpadlBodyQwords = (kMessageBytesMax - sizeof(GpadlBodyMessage)) / 8;
static_assert(kGpadlHeaderQwords == 27 && kGpadlBodyQwords == 28);
// The range buffer's length is a u16: one range has at most this many pages.
inline constexpr uint32_t kGpadlPagesMax = (0xFFFF - 8) / 8;
static_assert(kGpadlPagesMax == 8190);

// How many pages a range touches; 0 for an empty range. `byte_offset` below 4096.
constexpr uint64_t RangePageCount(uint32_t byte_offset, uint32_t byte_count) {
  if (byte_count == 0) return 0;
  return (uint64_t{byte_offset} + byte_count + kPageSize - 1) / kPageSize;
}

struct GpadlRange {
  uint32_t byte_count = 0;
  uint32_t byte_offset = 0;
  std::span<const Pfn> pfns = {};  // empty: consecutive pages from `first_pfn` on
  Pfn first_pfn = 0;

  // Whole pages, consecutive.
  static constexpr GpadlRange Pages(Pfn first, uint32_t count) {
    return {.byte_count = count * static_cast<uint32_t>(kPageSize), .first_pfn = first};
  }
  // Whole pages in any order.
  static constexpr GpadlRange Pages(std::span<const Pfn> pfns) {
    return {.byte_count = static_cast<uint32_t>(pfns.size() * kPageSize), .pfns = pfns};
  }
  uint64_t page_count() const { return RangePageCount(byte_offset, byte_count); }
  Pfn page(size_t index) const { return pfns.empty() ? first_pfn + index : pfns[index]; }
};

class GpadlMessages {
 public:
  // InvalidArgument names what no GPADL can be: handle 0, no range, an empty one, an offset of a
  // page or more, a page list of another length than the bytes say, or more range bytes than a u16
  // counts.
  static absl::StatusOr<GpadlMessages> Create(uint32_t relid, uint32_t handle,
                                              std::span<const GpadlRange> ranges);

  // The next message; false when all were given.
  bool Next(MessageBuffer& message);

  uint32_t range_bytes() const { return range_bytes_; }
  // Header included.
  uint32_t message_count() const;

 private:
  GpadlMessages(uint32_t relid, uint32_t handle, std::span<const GpadlRange> ranges,
                uint32_t range_bytes)
      : relid_(relid), handle_(handle), ranges_(ranges), range_bytes_(range_bytes) {}

  void AppendQwords(MessageBuffer& message, size_t limit);

  uint32_t relid_;
  uint32_t handle_;
  std::span<const GpadlRange> ranges_;
  uint32_t range_bytes_;
  bool header_given_ = false;
  size_t range_ = 0;  // where the next qword comes from
  size_t qword_ = 0;  // 0: the range word; i: page i - 1
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_PROTOCOL_GPADL_MESSAGES_H_
