// The eight bytes in front of pipe data: channels with offer flag 0x10, hvsocket, IC pipes. Source:
// protocol 02 section 8.2.
//
//   PipeHeader header = PipeDataHeader(message.size());
//   channel.Send({.payload = AsBytes(header), .payload_tail = message});
//   auto pipe = ParsePipe(packet.payload, PipeMode::kMessage);      // nullopt: the peer lies
//
// Thread safety: plain values. Lifetime: a PipeMessage refers to the payload that it was parsed
// from. Units: bytes.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_PIPE_HEADER_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_PIPE_HEADER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace vmbuskit {

enum class PipeType : uint32_t {
  kData = 1,
  kPartial = 2,
  kSetupGpaDirect = 3,
  kTearDownGpaDirect = 4,
  kCompletionIndication = 5,
};

enum class PipeMode {
  kByte,     // a stream: boundaries mean nothing, data of size 0 is the end of the stream
  kMessage,  // one packet is one message; size 0 is an empty message
};

struct PipeHeader {
  uint32_t type;
  uint32_t size;  // kPartial: [15:0] size, [31:16] offset
};
static_assert(sizeof(PipeHeader) == 8 && offsetof(PipeHeader, size) == 4);

inline constexpr size_t kMaxPipeDataBytes = 16384;  // more must be split (byte mode)

// The header of `size` (at most kMaxPipeDataBytes) bytes of data. Size 0 ends a stream in byte
// mode.
constexpr PipeHeader PipeDataHeader(size_t size) {
  return {static_cast<uint32_t>(PipeType::kData), static_cast<uint32_t>(size)};
}

inline std::span<const std::byte> AsBytes(const PipeHeader& header) {
  return std::as_bytes(std::span(&header, 1));
}

// Byte mode: takes the next packet's worth off the front of `data`.
inline std::span<const std::byte> TakePipeChunk(std::span<const std::byte>& data) {
  const auto chunk = data.first(std::min(data.size(), kMaxPipeDataBytes));
  data = data.subspan(chunk.size());
  return chunk;
}

struct PipeMessage {
  PipeType type = PipeType::kData;
  std::span<const std::byte> data{};  // exact, without padding
  uint32_t offset = 0;                // kPartial: where `data` belongs in the whole
  bool end_of_stream = false;         // byte mode: the peer sends nothing more
};

// nullopt: payload shorter than the header, a type other than 1 to 5, or a size above the limit or
// the payload.
std::optional<PipeMessage> ParsePipe(std::span<const std::byte> payload, PipeMode mode);

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_PIPE_HEADER_H_
