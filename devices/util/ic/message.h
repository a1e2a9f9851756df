// Checking one IC message: the same rules for what a host sent and for what a guest answered.
//
//   absl::StatusOr<Message> message = ParseMessage(bytes);
//   if (message.ok() && message->header.message_type == MessageType::kNegotiate) ...
//
// `bytes` must be a private copy: it is read more than once. Thread safety: pure functions.
// Errors: Violation naming field and value (protocol 30 section 2 rule F4).
#ifndef VMBUSKIT_DEVICES_UTIL_IC_MESSAGE_H_
#define VMBUSKIT_DEVICES_UTIL_IC_MESSAGE_H_

#include <cstddef>
#include <span>

#include "absl/status/statusor.h"
#include "devices/util/ic/protocol.h"

namespace vmbuskit::ic {

struct Message {
  Header header;              // a copy
  std::span<std::byte> body;  // in the caller's bytes, exactly header.body_bytes long
  size_t bytes = 0;           // pipe header, message header and all that the pipe length names
};

absl::StatusOr<Message> ParseMessage(std::span<std::byte> bytes);

// Writes pipe and message header in front of a body that stands at kBodyOffset; returns the message's bytes.
size_t FinishMessage(std::span<std::byte> buffer, const Header& header);

}  // namespace vmbuskit::ic

#endif  // VMBUSKIT_DEVICES_UTIL_IC_MESSAGE_H_
