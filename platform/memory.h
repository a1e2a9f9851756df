// Guest physical memory as both sides see it: pages by number, bounds-checked, mappable in any
// order at consecutive addresses.
//
//   absl::StatusOr<Mapping> ring = memory.Map({ctl, d0, d1, d0, d1});   // data twice: a packet never wraps
//
// "Page" is always 4096 bytes, whatever the machine's own page size (protocol 02, first lines).
//
// Thread safety: GuestMemory may be used from any thread; what lies in the bytes is shared with an
// untrusted peer and is its users' affair. A Mapping belongs to its holder.
#ifndef VMBUSKIT_PLATFORM_MEMORY_H_
#define VMBUSKIT_PLATFORM_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/withheld_pages.h"

namespace vmbuskit {

inline constexpr size_t kPageSize = 4096;

using Gpa = uint64_t;  // guest physical address, bytes
using Pfn = uint64_t;  // guest page frame number: Gpa / kPageSize

// Runs of consecutive pages, in order: each is a mapping of its own to the operating system, which has a limit.
inline uint64_t CountPieces(std::span<const Pfn> pages) {
  uint64_t pieces = 0;
  for (size_t i = 0; i < pages.size(); ++i) pieces += i == 0 || pages[i] != pages[i - 1] + 1;
  return pieces;
}

// Consecutive virtual addresses that show guest pages; unmapped at destruction. Empty when
// default-made.
class Mapping {
 public:
  using Unmap = void (*)(std::byte* data, size_t size, void* context);

  Mapping() = default;
  Mapping(std::span<std::byte> bytes, Unmap unmap, void* context)
      : bytes_(bytes), unmap_(unmap), context_(context) {}
  ~Mapping() { Reset(); }
  Mapping(Mapping&& other) noexcept { *this = std::move(other); }
  Mapping& operator=(Mapping&& other) noexcept {
    if (this == &other) return *this;
    Reset();
    bytes_ = std::exchange(other.bytes_, {});
    unmap_ = std::exchange(other.unmap_, nullptr);
    context_ = other.context_;
    return *this;
  }

  std::span<std::byte> bytes() const { return bytes_; }
  void Reset() {
    if (unmap_ != nullptr) unmap_(bytes_.data(), bytes_.size(), context_);
    unmap_ = nullptr;
    bytes_ = {};
  }

 private:
  std::span<std::byte> bytes_;
  Unmap unmap_ = nullptr;
  void* context_ = nullptr;
};

class GuestMemory {
 public:
  virtual ~GuestMemory() = default;

  // Number of pages; valid page numbers are 0 .. page_count() - 1.
  virtual uint64_t page_count() const = 0;

  // The bytes [gpa, gpa + length), which are consecutive in this process. OutOfRange when any lies
  // outside.
  virtual absl::StatusOr<std::span<std::byte>> Translate(Gpa gpa, size_t length) = 0;

  // Shows `pages` one after the other at consecutive addresses; a page may occur more than once.
  // OutOfRange names the first page that does not exist.
  virtual absl::StatusOr<Mapping> Map(std::span<const Pfn> pages) = 0;
};

class PageAllocator;

// Guest pages that a driver owns and may give to the host. Returned to the allocator at
// destruction, so it must not be destroyed before the host let go of them; Leak() keeps them out of
// use for ever when it may not have (protocol 02 section 5.4, rules 3 and 4).
class PageRun {
 public:
  PageRun() = default;
  PageRun(PageAllocator* allocator, Pfn first, uint32_t count)
      : allocator_(allocator), first_(first), count_(count) {}
  ~PageRun() { Reset(); }
  PageRun(PageRun&& other) noexcept { *this = std::move(other); }
  PageRun& operator=(PageRun&& other) noexcept {
    if (this == &other) return *this;
    Reset();
    allocator_ = std::exchange(other.allocator_, nullptr);
    first_ = std::exchange(other.first_, 0);
    count_ = std::exchange(other.count_, 0);
    return *this;
  }

  Pfn first() const { return first_; }
  uint32_t count() const { return count_; }
  Gpa gpa() const { return first_ * kPageSize; }
  explicit operator bool() const { return allocator_ != nullptr; }
  inline void Reset();
  inline void Leak();

 private:
  PageAllocator* allocator_ = nullptr;
  Pfn first_ = 0;
  uint32_t count_ = 0;
};

// Hands out guest pages for rings, monitor pages and buffers.
// Thread safety: any thread (control paths only).
class PageAllocator {
 public:
  virtual ~PageAllocator() = default;

  // `count` consecutive pages, zeroed. ResourceExhausted says how many were asked for and how many
  // are free.
  virtual absl::StatusOr<PageRun> Allocate(uint32_t count) = 0;

  // Accounting, in pages.
  virtual uint64_t allocated() const = 0;
  virtual uint64_t leaked() const = 0;

  // The host may still use these pages, which are part of somebody's run: when that is freed it stays allocated until
  // the connection ended with UNLOAD_RESPONSE, and is leaked without one (withheld_pages.h). After an end, until
  // BeginWithholding, that is decided: the run is freed, or leaked.
  void Withhold(Pfn first, uint64_t count) { withheld_pages_.Withhold(first, count); }
  // A connection is being made: its transport says so, and when it ended.
  void BeginWithholding() { withheld_pages_.Begin(); }
  // The connection ended: what was withheld until now is free, or lost.
  void EndWithholding(bool host_let_go) {
    for (const WithheldPages::Run& run : withheld_pages_.End(host_let_go)) {
      const auto count = static_cast<uint32_t>(run.count);
      host_let_go ? Free(run.first, count) : Leak(run.first, count);
    }
  }
  // Pages of freed runs that are withheld; they count as allocated.
  uint64_t withheld() const { return withheld_pages_.kept(); }

 private:
  friend class PageRun;
  virtual void Free(Pfn first, uint32_t count) = 0;
  virtual void Leak(Pfn first, uint32_t count) = 0;

  void Return(Pfn first, uint32_t count) {
    const WithheldPages::Fate fate = withheld_pages_.Returned(first, count);
    if (fate == WithheldPages::Fate::kFree) Free(first, count);
    if (fate == WithheldPages::Fate::kLost) Leak(first, count);
  }

  WithheldPages withheld_pages_;
};

inline void PageRun::Reset() {
  if (allocator_ != nullptr) std::exchange(allocator_, nullptr)->Return(first_, count_);
}
inline void PageRun::Leak() {
  if (allocator_ != nullptr) std::exchange(allocator_, nullptr)->Leak(first_, count_);
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_MEMORY_H_
