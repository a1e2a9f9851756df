// What an operation of a program means to a pair of rings: the same for a hostile host and for a
// hostile guest.
//
//   rings.Serve(operation.a % 64 + 1, BendOf(operation));
//   const BentPacket packet(operation);
//   rings.Send(packet.descriptor, packet.transaction, packet.payload());
//
// Thread safety: pure functions, but for the rings. Units: bytes.
#ifndef VMBUSKIT_TESTS_FUZZ_RING_OPERATIONS_H_
#define VMBUSKIT_TESTS_FUZZ_RING_OPERATIONS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/fuzz/program.h"
#include "tests/fuzz/raw_rings.h"

namespace vmbuskit {

inline Bend BendOf(const Operation& operation) {
  return {.offset = operation.b & 0xFFFF,
          .value = operation.c,
          .longer = static_cast<int8_t>(operation.b >> 16)};
}

inline RawRings::Direction DirectionOf(const Operation& operation) {
  return (operation.who & 0x40) != 0 ? RawRings::kIncoming : RawRings::kOutgoing;
}

inline void WriteControl(RawRings& rings, const Operation& operation) {
  rings.WriteControl(DirectionOf(operation), operation.a, operation.b);
}

// At any place, or from our own position on.
inline void WriteData(RawRings& rings, const Operation& operation) {
  const uint32_t offset = operation.b % 2 == 0 ? operation.a : rings.written() + operation.a;
  rings.WriteData(DirectionOf(operation), offset, operation.c);
}

// The descriptor is that of a packet with that payload, bent.
struct BentPacket {
  explicit BentPacket(const Operation& operation)
      : transaction(operation.b & 0xFFFF), payload_bytes((operation.a & 0x1F) * 8) {
    static constexpr uint8_t kTypes[] = {6, 6, 11, 7, 9, 5, 0, 255};
    const uint64_t type = kTypes[operation.a >> 5 & 7];
    const uint64_t flags = operation.a >> 8 & 1;
    const uint64_t bend = operation.a >> 9 == 0 ? 0 : uint64_t{operation.b >> 16} << 16;
    descriptor = (type | uint64_t{2} << 16 | (2 + payload_bytes / 8) << 32 | flags << 48) ^ bend;
    words.fill(operation.c);
  }
  std::span<const std::byte> payload() const {
    return std::as_bytes(std::span(words)).first(payload_bytes);
  }

  uint64_t descriptor = 0;
  uint64_t transaction = 0;
  size_t payload_bytes = 0;
  std::array<uint64_t, 32> words{};
};

// Of an in-band packet with one word, which asks for a completion or not.
constexpr uint64_t WordDescriptor(bool asks) {
  return 0x0000'0003'0002'0006 | uint64_t{asks} << 48;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_FUZZ_RING_OPERATIONS_H_
