// Puts a GPADL together from one header and any number of bodies, and checks what it says. Sans-IO.
//
//   auto assembly = GpadlAssembly::Begin(header.range_bytes, header.range_count);
//   assembly->Append(bytes after the header);                 // then those of every body
//   if (assembly->complete()) auto pages = std::move(*assembly).Finish(memory.page_count());
//
// Memory grows with what arrives, never with what is announced, and ends at 64 KiB.
// Thread safety: none; one owner. Errors: Violation naming the field and its value.
// Source: protocol 02 section 5.1.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_GPADL_ASSEMBLY_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_GPADL_ASSEMBLY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/memory.h"

namespace vmbuskit {

// Guest pages in the order the guest listed them.
struct GpadlPages {
  struct Range {
    uint32_t byte_count = 0;
    uint32_t byte_offset = 0;  // into its first page
    uint32_t first_page = 0;   // index into `pfns`
    uint32_t page_count = 0;
  };

  std::vector<Pfn> pfns;
  std::vector<Range> ranges;

  uint64_t bytes() const { return pfns.size() * uint64_t{kPageSize}; }
  // The GPADL that would make these pages, as it is listed in messages (protocol 02 section 5.1).
  std::vector<uint64_t> ToQwords() const;
  // One range of whole pages, as a ring needs it.
  bool IsWholePages() const {
    return ranges.size() == 1 && ranges[0].byte_offset == 0 &&
           ranges[0].byte_count % kPageSize == 0;
  }
};

class GpadlAssembly {
 public:
  // What the header announces. Refuses no range at all and fewer bytes than that many ranges take.
  static absl::StatusOr<GpadlAssembly> Begin(uint16_t range_bytes, uint16_t range_count);

  // Takes the whole qwords of `bytes`; a rest of less than a qword and what exceeds the announced length (guests
  // pad their messages) is ignored.
  void Append(std::span<const std::byte> bytes);

  // As it was saved: with what had arrived, at most `qwords_needed` of it.
  static absl::StatusOr<GpadlAssembly> Restore(uint32_t qwords_needed, uint32_t range_count,
                                               std::span<const std::byte> arrived);
  uint32_t range_count() const { return range_count_; }
  std::span<const std::byte> arrived() const { return std::as_bytes(std::span(qwords_)); }

  bool complete() const { return qwords_.size() == qwords_needed_; }
  uint32_t qwords_needed() const { return qwords_needed_; }

  // The ranges, once complete. Every page number must be below `page_limit`; bytes after the last range are
  // ignored.
  absl::StatusOr<GpadlPages> Finish(uint64_t page_limit) &&;

 private:
  GpadlAssembly(uint32_t qwords_needed, uint32_t range_count)
      : qwords_needed_(qwords_needed), range_count_(range_count) {}

  uint32_t qwords_needed_;
  uint32_t range_count_;
  std::vector<uint64_t> qwords_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_GPADL_ASSEMBLY_H_
