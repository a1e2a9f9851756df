// Maps guest pages for the host and counts them while they are mapped: the figure that must be zero when a guest
// took everything back.
//
//   absl::StatusOr<Mapping> ring = mapped.Map(memory, pages);
//   mapped.pages();                       // each page as often as it is shown
//
// Pages that do not follow one another in guest memory are mappings of their own to the operating system, of which a
// process has few (Linux: 65530) and without which it cannot even allocate: a guest gets so many pieces and no more.
//
// Thread safety: any thread. Lifetime: outlives the mappings.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MAPPED_PAGES_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MAPPED_PAGES_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "platform/memory.h"

namespace vmbuskit {

class MappedPages {
 public:
  explicit MappedPages(uint64_t pieces_max) : pieces_max_(pieces_max) {}

  // ResourceExhausted when the guest would have more than `pieces_max` pieces mapped.
  absl::StatusOr<Mapping> Map(GuestMemory& memory, std::span<const Pfn> pages) {
    const uint64_t pieces = CountPieces(pages);
    const uint64_t before = pieces_.fetch_add(pieces, std::memory_order_relaxed);
    if (pieces > pieces_max_ || before > pieces_max_ - pieces) {
      pieces_.fetch_sub(pieces, std::memory_order_relaxed);
      return absl::ResourceExhaustedError(absl::StrCat("mapping ", pages.size(), " guest pages in ",
                                                       pieces, " pieces, with ", before, " of ",
                                                       pieces_max_, " in use"));
    }
    absl::StatusOr<Mapping> inner = memory.Map(pages);
    if (!inner.ok()) {
      pieces_.fetch_sub(pieces, std::memory_order_relaxed);
      return inner.status();
    }
    const std::span<std::byte> bytes = inner->bytes();
    pages_.fetch_add(bytes.size() / kPageSize, std::memory_order_relaxed);
    auto held = std::make_unique<Held>(Held{std::move(*inner), this, pieces});
    return Mapping(bytes, &Unmap, held.release());
  }

  uint64_t pages() const { return pages_.load(std::memory_order_relaxed); }
  uint64_t pieces() const { return pieces_.load(std::memory_order_relaxed); }

 private:
  struct Held {
    Mapping mapping;
    MappedPages* owner;
    uint64_t pieces;
  };
  static void Unmap(std::byte*, size_t size, void* context) {
    const std::unique_ptr<Held> held(static_cast<Held*>(context));
    held->owner->pages_.fetch_sub(size / kPageSize, std::memory_order_relaxed);
    held->owner->pieces_.fetch_sub(held->pieces, std::memory_order_relaxed);
  }

  const uint64_t pieces_max_;
  std::atomic<uint64_t> pages_ = 0;
  std::atomic<uint64_t> pieces_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MAPPED_PAGES_H_
