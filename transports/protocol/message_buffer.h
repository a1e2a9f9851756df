// A control message ready to be posted, with its exact size (a strict guest halts on any other).
//
//   MessageBuffer close = Emit(CloseChannelMessage{.relid = 5});                 // 12 bytes
//   MessageBuffer open = Emit(OpenChannelMessage{...}, {version, features});     // 148 or 156
//   bytes Post(connection, open.bytes());
//
// Never allocates. Thread safety: a plain value. Source: protocol 02 section 2.
#ifndef VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_BUFFER_H_
#define VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_BUFFER_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

#include "transports/protocol/message_table.h"

namespace vmbuskit {

class MessageBuffer {
 public:
  MessageBuffer() = default;

  std::span<const std::byte> bytes() const { return std::span(data_).first(size_); }
  size_t size() const { return size_; }

  void Clear() { size_ = 0; }
  // False, and nothing is added, when it would pass 240 bytes.
  bool Append(std::span<const std::byte> bytes) {
    if (bytes.size() > data_.size() - size_) return false;
    std::memcpy(data_.data() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
    return true;
  }

 private:
  std::array<std::byte, kMessageBytesMax> data_{};
  size_t size_ = 0;
};

// The first `size` bytes of `message`.
template <typename T>
MessageBuffer EmitSized(const T& message, size_t size) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= kMessageBytesMax);
  MessageBuffer buffer;
  buffer.Append(std::as_bytes(std::span(&message, 1)).first(std::min(size, sizeof(T))));
  return buffer;
}

// The message with the size that the table gives it.
template <typename T>
MessageBuffer Emit(const T& message, Negotiated negotiated = {.version = kVersion5_3}) {
  return EmitSized(message, RequiredBytes(RowOf(T::kType), negotiated));
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_BUFFER_H_
