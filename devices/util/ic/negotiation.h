// Version negotiation of the integration components, both sides, sans-IO (protocol 30 section 2.1).
//
//   Guest:  Agreed agreed = AnswerNegotiation(message, preferences);   // rewrites the message in place
//   Host:   size_t bytes = BuildNegotiation(offered, buffer);
//           absl::StatusOr<Agreed> agreed = ReadNegotiationAnswer(message, offered);
//
// Thread safety: pure functions.
#ifndef VMBUSKIT_DEVICES_UTIL_IC_NEGOTIATION_H_
#define VMBUSKIT_DEVICES_UTIL_IC_NEGOTIATION_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "devices/util/ic/message.h"
#include "devices/util/ic/protocol.h"

namespace vmbuskit::ic {

struct VersionLists {
  std::span<const Version> framework;  // guest: most preferred first; host: ascending
  std::span<const Version> message;
};

struct Agreed {
  Version framework;
  Version message;
  friend bool operator==(const Agreed&, const Agreed&) = default;
  std::string ToString() const;  // "framework 3.0, message 3.0"
};

// Turns the host's negotiation into the guest's answer, in place, and says what was agreed. Without a common
// version, or with counts that lie, the answer has counts 0 and 0 and the result is nullopt (rules N1 to N4).
// `message.header` becomes the header to send.
std::optional<Agreed> AnswerNegotiation(Message& message, const VersionLists& preferences);

// Writes a whole negotiation message into `buffer`; its size in bytes.
size_t BuildNegotiation(const VersionLists& offered, std::span<std::byte> buffer);

// What the guest's answer agrees to. Violation unless both counts are 1 and both versions were offered.
absl::StatusOr<Agreed> ReadNegotiationAnswer(const Message& message, const VersionLists& offered);

}  // namespace vmbuskit::ic

#endif  // VMBUSKIT_DEVICES_UTIL_IC_NEGOTIATION_H_
