#include "devices/util/ic/message.h"

#include <cassert>
#include <cstring>

#include "framework/base/status.h"

namespace vmbuskit::ic {

absl::StatusOr<Message> ParseMessage(std::span<std::byte> bytes) {
  if (bytes.size() < kBodyOffset) {
    return Violation("ic message", "packet bytes", bytes.size(), "at least 28");
  }
  PipeHeader pipe;
  std::memcpy(&pipe, bytes.data(), sizeof pipe);
  if (pipe.type != kPipeData) return Violation("ic message", "pipe type", pipe.type, "must be 1");
  if (pipe.length < sizeof(Header) || pipe.length > bytes.size() - sizeof pipe) {
    return Violation("ic message", "pipe length", pipe.length, "beyond the packet or no header");
  }
  Message message;
  std::memcpy(&message.header, bytes.data() + kHeaderOffset, sizeof message.header);
  if (message.header.body_bytes > pipe.length - sizeof(Header)) {
    return Violation("ic message", "body size", message.header.body_bytes,
                     "beyond the pipe length");
  }
  message.body = bytes.subspan(kBodyOffset, message.header.body_bytes);
  message.bytes = sizeof pipe + pipe.length;
  return message;
}

size_t FinishMessage(std::span<std::byte> buffer, const Header& header) {
  const size_t bytes = kBodyOffset + header.body_bytes;
  assert(bytes <= buffer.size());
  const PipeHeader pipe = {kPipeData, static_cast<uint32_t>(sizeof header + header.body_bytes)};
  std::memcpy(buffer.data(), &pipe, sizeof pipe);
  std::memcpy(buffer.data() + kHeaderOffset, &header, sizeof header);
  return bytes;
}

}  // namespace vmbuskit::ic
