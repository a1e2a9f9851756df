// A fuzzer's input as a few options and a sequence of records: control messages by their number, and the fuzzer's own
// operations. So a mutator can move, repeat and change whole messages (message_mutator.h).
//
//   MessageScript input({data, size});
//   const uint32_t version = kVersionsNewestFirst[input.Option(0) % 9];
//   while (std::optional<ScriptRecord> record = input.Next()) {
//     if (record->IsMessage()) server.HandleMessage(record->Message(negotiated).bytes(), 1);
//     else Run(record->kind, ScriptArguments(record->bytes));
//   }
//
// On the wire: eight option bytes, then for each record its kind, the number of its bytes, and those. What an input
// is too short for reads as zero, so that every sequence of bytes is an input. Kind bit 7 asks for a message to be
// filled up with zeros to the size that the message table requires.
//
// Thread safety: none; refers to the input's bytes. For fuzzers and their tests only.
#ifndef VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_SCRIPT_H_
#define VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_SCRIPT_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "transports/protocol/message_table.h"

namespace vmbuskit {

inline constexpr size_t kFuzzOptionCount = 8;
inline constexpr uint8_t kFuzzFilledUp = 0x80;
inline constexpr uint8_t kFuzzRawMessage = 0;  // the record's bytes are the message, header and all
inline constexpr uint8_t kFuzzOperationMin = 32;           // below: the message of that number
inline constexpr size_t kScriptMessageBytesMax = 8 + 255;  // more than a message may have

// A message as a record describes it, of any size and with any content.
class ScriptMessage {
 public:
  std::span<const std::byte> bytes() const { return std::span(bytes_).first(size_); }

 private:
  friend struct ScriptRecord;

  std::array<std::byte, kScriptMessageBytesMax> bytes_{};
  size_t size_ = 0;
};

struct ScriptRecord {
  uint8_t kind = 0;  // without kFuzzFilledUp
  bool filled_up = false;
  std::span<const uint8_t> bytes;

  bool IsMessage() const { return kind < kFuzzOperationMin; }
  // Header and the record's bytes.
  ScriptMessage Message(Negotiated negotiated) const {
    ScriptMessage message;
    if (kind != kFuzzRawMessage) {
      const uint32_t type = kind;
      std::memcpy(message.bytes_.data(), &type, sizeof type);
      message.size_ = sizeof(MessageHeader);
    }
    if (!bytes.empty()) std::memcpy(&message.bytes_[message.size_], bytes.data(), bytes.size());
    message.size_ += bytes.size();
    const MessageRow* row = filled_up ? FindMessage(kind) : nullptr;
    if (row != nullptr) message.size_ = std::max(message.size_, RequiredBytes(*row, negotiated));
    return message;
  }
};

class MessageScript {
 public:
  explicit MessageScript(std::span<const uint8_t> bytes)
      : options_(bytes.first(std::min(bytes.size(), kFuzzOptionCount))),
        rest_(bytes.subspan(options_.size())) {}

  uint8_t Option(size_t index) const { return index < options_.size() ? options_[index] : 0; }
  bool Flag(size_t index, uint32_t bit) const { return (Option(index) >> bit & 1) != 0; }

  std::optional<ScriptRecord> Next() {
    if (rest_.size() < 2) return std::nullopt;
    const ScriptRecord record{
        .kind = static_cast<uint8_t>(rest_[0] & ~kFuzzFilledUp),
        .filled_up = (rest_[0] & kFuzzFilledUp) != 0,
        .bytes = rest_.subspan(2, std::min<size_t>(rest_[1], rest_.size() - 2))};
    rest_ = rest_.subspan(2 + record.bytes.size());
    return record;
  }

 private:
  std::span<const uint8_t> options_;
  std::span<const uint8_t> rest_;
};

// The fields of an operation, one after the other; zero when there are no more.
class ScriptArguments {
 public:
  explicit ScriptArguments(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  template <typename T>
  T Take() {
    T value{};
    const size_t size = std::min(sizeof value, bytes_.size());
    if (size != 0) std::memcpy(&value, bytes_.data(), size);
    bytes_ = bytes_.subspan(size);
    return value;
  }
  bool empty() const { return bytes_.empty(); }
  std::span<const uint8_t> rest() const { return bytes_; }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_SCRIPT_H_
