#include "framework/channel/pipe_header.h"

#include <cstring>

namespace vmbuskit {

std::optional<PipeMessage> ParsePipe(std::span<const std::byte> payload, PipeMode mode) {
  PipeHeader header;
  if (payload.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, payload.data(), sizeof header);
  if (header.type < 1 || header.type > 5) return std::nullopt;
  const std::span<const std::byte> rest = payload.subspan(sizeof header);
  PipeMessage message{.type = static_cast<PipeType>(header.type)};
  uint32_t size = header.size;
  if (message.type == PipeType::kPartial) {
    size = header.size & 0xFFFF;
    message.offset = header.size >> 16;
  }
  if (size > rest.size() || size > kMaxPipeDataBytes) return std::nullopt;
  message.data = rest.first(size);
  message.end_of_stream = mode == PipeMode::kByte && message.type == PipeType::kData && size == 0;
  return message;
}

}  // namespace vmbuskit
