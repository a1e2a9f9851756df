// INITIATE_CONTACT and VERSION_RESPONSE, which read differently by the version they are about.
//
//   MessageBuffer contact = EmitContact({.version = kVersion5_2, .parent_to_child = p2c,
//   .child_to_parent = c2p}); uint32_t id = ContactConnectionId(kVersion5_2); // post it there
//   absl::StatusOr<VersionReply> reply = ParseVersionResponse(checked, kVersion5_2);
//
// Thread safety: pure functions. Errors: Violation with message, field and value.
// Source: protocol 02 sections 3.1 and 3.2.
#ifndef VMBUSKIT_TRANSPORTS_PROTOCOL_CONTACT_H_
#define VMBUSKIT_TRANSPORTS_PROTOCOL_CONTACT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "framework/base/guid.h"
#include "transports/protocol/message_buffer.h"
#include "transports/protocol/message_table.h"

namespace vmbuskit {

struct Contact {
  uint32_t version = 0;
  uint32_t target_vp = 0;
  uint64_t interrupt_page = 0;  // below 5.0
  uint8_t sint = kVmbusSint;    // from 5.0 on
  uint8_t vtl = 0;              // from 5.1 on
  uint32_t features = 0;        // from 6.0 on
  uint64_t parent_to_child = 0;
  uint64_t child_to_parent = 0;
  Guid client_id = {};  // with kFeatureClientId
};

// Where a guest posts a contact of that version. An older host has no id 4 and its hypervisor says
// so.
constexpr uint32_t ContactConnectionId(uint32_t version) {
  return version < kVersion5_0 ? kMessageConnectionLegacy : kMessageConnection;
}

MessageBuffer EmitContact(const Contact& contact);
// Fields that `version` does not have are left at their defaults. A client id that is announced but
// missing is an error; a version that nobody knows is not (it is refused by an answer).
absl::StatusOr<Contact> ParseContact(const CheckedMessage& message);

struct VersionReply {
  bool supported = false;
  ConnectionState state = ConnectionState::kSuccessful;  // any other value failed as well
  uint32_t selected_version = 0;                         // below 5.0
  uint32_t message_connection_id = 0;  // from 5.0 on: where every later message goes
  uint32_t features = 0;               // from 6.0 on
  uint64_t parent_to_child = 0;        // with kFeatureServerMonitorPages
  uint64_t child_to_parent = 0;
};

// `version` is the one that the contact proposed. A refusal is always 16 bytes with nothing in
// them.
MessageBuffer EmitVersionResponse(const VersionReply& reply, uint32_t version);
// Below 5.0 `message_connection_id` becomes 1, from 5.0 on `selected_version` becomes `version`.
absl::StatusOr<VersionReply> ParseVersionResponse(const CheckedMessage& message, uint32_t version);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_PROTOCOL_CONTACT_H_
