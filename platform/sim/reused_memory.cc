#include "platform/sim/reused_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <utility>

namespace vmbuskit {
namespace {

uint64_t Hash(std::span<const Pfn> pages) {
  uint64_t hash = pages.size();
  for (Pfn page : pages) {
    hash = (hash ^ page) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  return hash;
}

void Protect(const Mapping& mapping, int protection) {
  const std::span<std::byte> bytes = mapping.bytes();
  const int failed = mprotect(bytes.data(), bytes.size(), protection);
  assert(failed == 0);
  (void)failed;
}

}  // namespace

ReusedMemory::ReusedMemory(GuestMemory& inner, uint64_t pieces_max)
    : inner_(inner), pieces_max_(pieces_max), touched_((inner.page_count() + 63) / 64) {}

ReusedMemory::~ReusedMemory() { assert(mapped_pages_ == 0 && "a mapping outlives its memory"); }

absl::StatusOr<std::span<std::byte>> ReusedMemory::Translate(Gpa gpa, size_t length) {
  absl::StatusOr<std::span<std::byte>> bytes = inner_.Translate(gpa, length);
  if (!bytes.ok() || length == 0) return bytes;
  for (Pfn page = gpa / kPageSize; page <= (gpa + length - 1) / kPageSize; ++page) Touch(page);
  return bytes;
}

absl::StatusOr<Mapping> ReusedMemory::Map(std::span<const Pfn> pages) {
  const uint64_t hash = Hash(pages);
  const auto [first, last] = kept_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    Kept& kept = *it->second;
    if (!kept.in_use && std::ranges::equal(kept.pages, pages)) {
      --idle_;
      if (std::exchange(kept.guarded, false)) Protect(kept.mapping, PROT_READ | PROT_WRITE);
      return Use(kept);
    }
  }
  const uint64_t pieces = CountPieces(pages);
  if (pieces_ + pieces > pieces_max_) DropIdle();
  absl::StatusOr<Mapping> mapping = inner_.Map(pages);
  if (!mapping.ok()) return mapping;
  pieces_ += pieces;
  const auto it =
      kept_.emplace(hash, std::make_unique<Kept>(Kept{.pages = {pages.begin(), pages.end()},
                                                      .pieces = pieces,
                                                      .mapping = *std::move(mapping),
                                                      .owner = this,
                                                      .in_use = false,
                                                      .guarded = false}));
  return Use(*it->second);
}

Mapping ReusedMemory::Use(Kept& kept) {
  kept.in_use = true;
  mapped_pages_ += kept.pages.size();
  for (Pfn page : kept.pages) Touch(page);
  return Mapping(kept.mapping.bytes(), &Unmap, &kept);
}

void ReusedMemory::Unmap(std::byte*, size_t, void* context) {
  Kept& kept = *static_cast<Kept*>(context);
  kept.in_use = false;
  ++kept.owner->idle_;
  kept.guarded = kept.owner->guarded_;
  if (kept.guarded) Protect(kept.mapping, PROT_NONE);
  kept.owner->mapped_pages_ -= kept.pages.size();
}

void ReusedMemory::DropIdle() {
  std::erase_if(kept_, [this](const auto& entry) {
    if (entry.second->in_use) return false;
    pieces_ -= entry.second->pieces;
    return true;
  });
  idle_ = 0;
}

void ReusedMemory::Renew(bool guarded) {
  assert(mapped_pages_ == 0);
  guarded_ = guarded;
  for (size_t word = 0; word < touched_.size(); ++word) {
    for (uint64_t bits = std::exchange(touched_[word], 0); bits != 0; bits &= bits - 1) {
      const Pfn page = word * 64 + static_cast<uint64_t>(std::countr_zero(bits));
      const auto bytes = inner_.Translate(page * kPageSize, kPageSize);
      if (bytes.ok()) std::memset(bytes->data(), 0, kPageSize);
    }
  }
}

}  // namespace vmbuskit
