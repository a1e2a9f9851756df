// Maps guest pages for the host and counts them while they are mapped: the figure that must be zero when a guest
// took everything back.
//
//   absl::StatusOr<Mapping> ring = mapped.Map(memory, pages);
//   mapped.pages();                       // each page as often as it is shown
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
#include "platform/memory.h"

namespace vmbuskit {

class MappedPages {
 public:
  absl::StatusOr<Mapping> Map(GuestMemory& memory, std::span<const Pfn> pages) {
    absl::StatusOr<Mapping> inner = memory.Map(pages);
    if (!inner.ok()) return inner.status();
    const std::span<std::byte> bytes = inner->bytes();
    pages_.fetch_add(bytes.size() / kPageSize, std::memory_order_relaxed);
    auto held = std::make_unique<Held>(Held{std::move(*inner), this});
    return Mapping(bytes, &Unmap, held.release());
  }

  uint64_t pages() const { return pages_.load(std::memory_order_relaxed); }

 private:
  struct Held {
    Mapping mapping;
    MappedPages* owner;
  };
  static void Unmap(std::byte*, size_t size, void* context) {
    const std::unique_ptr<Held> held(static_cast<Held*>(context));
    held->owner->pages_.fetch_sub(size / kPageSize, std::memory_order_relaxed);
  }

  std::atomic<uint64_t> pages_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MAPPED_PAGES_H_
