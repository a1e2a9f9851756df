// Packets as drivers see them, and their 16-byte descriptor on the ring. Source: protocol 02
// section 8.1.
//
//   OutgoingPacket request{.completion_requested = true, .transaction_id = 42, .payload = bytes};
//   writer.Append(request);                       // takes RingBytes(request) bytes of the ring
//   Packet packet;
//   if (reader.Next(packet) == ReadResult::kPacket) auto header = packet.PayloadAs<MyHeader>();
//
// Thread safety: plain values.
// Lifetime: both kinds refer to bytes that they do not own. An OutgoingPacket's must live until
// Append returns, a Packet's live until the next call of the RingReader that filled it. Units:
// bytes, unless a name ends in 8: those count 8-byte words, as the wire does.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_PACKET_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_PACKET_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

namespace vmbuskit {

static_assert(std::endian::native == std::endian::little, "wire structs are used in place");

// The types in use; all others are unused by every known peer.
enum class PacketType : uint16_t {
  kInBand = 6,
  kTransferPages = 7,
  kGpaDirect = 9,
  kCompletion = 0xB,
};

// What stands in front of every packet on the ring.
struct PacketDescriptor {
  uint16_t type;
  uint16_t offset8;  // descriptor and extension
  uint16_t len8;     // descriptor, extension and padded payload, without the trailer
  uint16_t flags;
  uint64_t transaction_id;
};
static_assert(sizeof(PacketDescriptor) == 16);
static_assert(offsetof(PacketDescriptor, offset8) == 2);
static_assert(offsetof(PacketDescriptor, len8) == 4);
static_assert(offsetof(PacketDescriptor, flags) == 6);
static_assert(offsetof(PacketDescriptor, transaction_id) == 8);

inline constexpr uint16_t kPacketFlagCompletionRequested = 1;
inline constexpr uint32_t kPacketTrailerBytes =
    8;  // [63:32] write index before the packet, [31:0] zero
inline constexpr uint32_t kMinRingBytes = sizeof(PacketDescriptor) + kPacketTrailerBytes;
inline constexpr uint32_t kMaxRingBytes = 0xFFFF * 8 + kPacketTrailerBytes;  // len8 has 16 bits

constexpr size_t AlignTo8(size_t bytes) { return (bytes + 7) & ~size_t{7}; }

struct OutgoingPacket {
  PacketType type = PacketType::kInBand;
  bool completion_requested = false;
  uint64_t transaction_id = 0;
  std::span<const std::byte> extension{};     // ranges (packet_ranges.h); a multiple of 8 bytes
  std::span<const std::byte> payload{};       // any length; padded with zeros
  std::span<const std::byte> payload_tail{};  // follows `payload`, such as data after a header
};

// Bytes that `packet` takes on a ring, trailer included.
constexpr size_t RingBytes(const OutgoingPacket& packet) {
  return AlignTo8(sizeof(PacketDescriptor) + packet.extension.size() + packet.payload.size() +
                  packet.payload_tail.size()) +
         kPacketTrailerBytes;
}

// A packet that came in: lengths checked against the ring, contents not looked at.
struct Packet {
  PacketType type = PacketType::kInBand;
  bool completion_requested = false;
  uint64_t transaction_id = 0;
  std::span<const std::byte> extension{};  // between descriptor and payload
  std::span<const std::byte> payload{};    // padded: its size is the sent one rounded up to 8

  // The payload's bytes from `offset` on as a T; nullopt when the payload is shorter.
  template <typename T>
  std::optional<T> PayloadAs(size_t offset = 0) const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (offset > payload.size() || payload.size() - offset < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, payload.data() + offset, sizeof(T));
    return value;
  }
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_PACKET_H_
