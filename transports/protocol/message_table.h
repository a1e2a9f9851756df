// The one table of VMBus control messages: number, name, direction, the version and feature that
// introduced each, how long it must be, and whether it may travel without a connection. Checking
// obeys the table and nothing else.
//
//   absl::StatusOr<CheckedMessage> message =
//       CheckMessage(Direction::kGuestToHost, {.version = kVersion5_2}, bytes);
//   if (!message.ok()) return message.status();   // names message, field and value
//   if (message->type() == MessageType::kCloseChannel)
//   Close(message->As<CloseChannelMessage>().relid);
//
// `bytes` must be private memory: what was copied out of a message slot or hypercall page once.
// Thread safety: pure functions over constants. Source: protocol 02 section 2.
#ifndef VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_TABLE_H_
#define VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_TABLE_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "absl/status/statusor.h"
#include "transports/protocol/messages.h"
#include "transports/protocol/versions.h"

namespace vmbuskit {

enum class Direction : uint8_t { kGuestToHost, kHostToGuest };

// What both sides agreed on. Version 0: no connection.
struct Negotiated {
  uint32_t version = 0;
  uint32_t features = 0;
};

// From `version` on, and with any of `features` (0: whatever the features), the message is at least
// `bytes` long.
struct SizeStep {
  uint32_t version = 0;
  uint32_t features = 0;
  uint16_t bytes = 0;  // 0: no step
};

struct MessageRow {
  MessageType type{};
  std::string_view name;
  Direction direction{};
  uint32_t version = 0;   // oldest version that has it
  uint32_t features = 0;  // must be granted
  bool unconnected = false;
  uint16_t bytes = 0;  // minimum before any step
  std::array<SizeStep, 2> steps{};
};

inline constexpr size_t kMessageTypeCount = 29;
extern const std::array<MessageRow, kMessageTypeCount> kMessageTable;  // row i is type i + 1

// Null for a number outside the table.
const MessageRow* FindMessage(uint32_t type);
const MessageRow& RowOf(MessageType type);  // `type` is one of the enumerators
// "OPEN_CHANNEL", or "message 77".
std::string MessageName(uint32_t type);

// How long `row` must be after `negotiated`; also its exact size when sent.
size_t RequiredBytes(const MessageRow& row, Negotiated negotiated);

class CheckedMessage {
 public:
  CheckedMessage(const MessageRow& row, std::span<const std::byte> bytes)
      : row_(&row), bytes_(bytes) {}

  MessageType type() const { return row_->type; }
  const MessageRow& row() const { return *row_; }
  std::span<const std::byte> bytes() const { return bytes_; }

  // The message as a wire structure; what it is too short for stays zero, what it has in excess is
  // ignored.
  template <typename T>
  T As() const {
    static_assert(std::is_trivially_copyable_v<T>);
    T message{};
    std::memcpy(static_cast<void*>(&message), bytes_.data(), std::min(sizeof(T), bytes_.size()));
    return message;
  }

 private:
  const MessageRow* row_;
  std::span<const std::byte> bytes_;
};

// Type known and of this direction, version and feature present, size between the required one and
// 240. The result refers to `bytes`.
absl::StatusOr<CheckedMessage> CheckMessage(Direction direction, Negotiated negotiated,
                                            std::span<const std::byte> bytes);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_TABLE_H_
