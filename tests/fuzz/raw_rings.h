// The two rings of a channel as bytes in guest memory, for a hostile peer at either end: it writes
// what it likes where it likes, or packets as they should be, and answers what it was asked.
//
//   RawRings rings(memory, pages, /*downstream_page=*/3, RawRings::End::kHost);
//   rings.WriteControl(RawRings::kOutgoing, /*word=*/0, 0xFFFFFFFF);     // a write index beyond every end
//   rings.Send(descriptor, transaction, payload);                        // at our own position, published
//   rings.Serve(8, bend);                                                // answers to the next eight packets
//
// Positions are private: what stands in the pages is never believed. Nobody is signalled. Every
// call is bounded. Thread safety: the simulation's thread. Lifetime: the memory outlives it.
// Errors: pages outside the memory are not accessed; a pair that is none (fewer than two pages for
// a ring) has no rings.
#ifndef VMBUSKIT_TESTS_FUZZ_RAW_RINGS_H_
#define VMBUSKIT_TESTS_FUZZ_RAW_RINGS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "framework/channel/ring_memory.h"
#include "platform/memory.h"

namespace vmbuskit {

// A change to bytes: eight of them, from `offset` on, are exchanged (`value` 0: none are), then the
// length is changed.
struct Bend {
  uint32_t offset = 0;
  uint64_t value = 0;
  int32_t longer = 0;

  void Apply(std::vector<std::byte>& bytes, size_t bytes_max) const;
};

class RawRings {
 public:
  enum class End { kGuest, kHost };
  enum Direction { kIncoming, kOutgoing };  // as seen from our end

  RawRings() = default;
  // `pages`: the guest-to-host ring, and from `downstream_page` on the other one.
  RawRings(GuestMemory& memory, std::vector<Pfn> pages, uint32_t downstream_page, End end);

  bool valid() const { return memory_ != nullptr; }

  // Write index, read index, interrupt mask, pending size, feature bits.
  void WriteControl(Direction direction, uint32_t word, uint32_t value);
  void WriteData(Direction direction, uint32_t offset, uint64_t value);
  void Send(uint64_t descriptor, uint64_t transaction, std::span<const std::byte> payload);
  // Takes up to `count` packets. Those that ask for a completion get one: their first word, with 1
  // in its upper half (which an echo driver takes for "accepted"), bent.
  void Serve(uint32_t count, const Bend& bend);

  uint32_t written() const { return written_; }

 private:
  RingControl& Control(Direction direction) const;
  std::byte* DataAt(Direction direction, uint32_t offset) const;
  std::span<const Pfn> Pages(Direction direction) const;
  uint32_t DataBytes(Direction direction) const;

  GuestMemory* memory_ = nullptr;
  std::vector<Pfn> pages_;
  uint32_t downstream_page_ = 0;
  End end_ = End::kHost;
  uint32_t read_ = 0;
  uint32_t written_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_FUZZ_RAW_RINGS_H_
