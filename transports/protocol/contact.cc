#include "transports/protocol/contact.h"

#include <cstring>

#include "framework/base/status.h"

namespace vmbuskit {
namespace {

// Where the interrupt page stood before 5.0 gave its bytes to SINT, VTL and features.
constexpr size_t kInterruptPageOffset = offsetof(InitiateContactMessage, sint);

}  // namespace

MessageBuffer EmitContact(const Contact& contact) {
  InitiateContactMessage message{.version = contact.version,
                                 .target_vp = contact.target_vp,
                                 .parent_to_child = contact.parent_to_child,
                                 .child_to_parent = contact.child_to_parent};
  if (contact.version < kVersion5_0) {
    std::memcpy(reinterpret_cast<std::byte*>(&message) + kInterruptPageOffset,
                &contact.interrupt_page, sizeof contact.interrupt_page);
  } else {
    message.sint = contact.sint;
    if (contact.version >= kVersion5_1) message.vtl = contact.vtl;
    if (contact.version >= kVersion6_0) message.features = contact.features;
  }
  if ((message.features & kFeatureClientId) != 0) message.client_id = contact.client_id;
  return Emit(message, {.version = contact.version,
                        .features = contact.version >= kVersion6_0 ? contact.features : 0});
}

absl::StatusOr<Contact> ParseContact(const CheckedMessage& message) {
  const auto wire = message.As<InitiateContactMessage>();
  Contact contact{.version = wire.version,
                  .target_vp = wire.target_vp,
                  .parent_to_child = wire.parent_to_child,
                  .child_to_parent = wire.child_to_parent};
  if (wire.version < kVersion5_0) {
    std::memcpy(&contact.interrupt_page, message.bytes().data() + kInterruptPageOffset,
                sizeof contact.interrupt_page);
    return contact;
  }
  contact.sint = wire.sint;
  if (wire.version >= kVersion5_1) contact.vtl = wire.vtl;
  if (wire.version < kVersion6_0) return contact;
  contact.features = wire.features;
  const size_t required =
      RequiredBytes(message.row(), {.version = wire.version, .features = wire.features});
  if (message.bytes().size() < required) {
    return Violation(message.row().name, "size", message.bytes().size(),
                     "56 when a client id is announced");
  }
  if ((wire.features & kFeatureClientId) != 0) contact.client_id = wire.client_id;
  return contact;
}

MessageBuffer EmitVersionResponse(const VersionReply& reply, uint32_t version) {
  VersionResponseMessage message;
  if (!reply.supported) return Emit(message, {.version = 0});
  message.supported = 1;
  message.connection_state = static_cast<uint8_t>(reply.state);
  message.version_or_connection_id =
      version < kVersion5_0 ? reply.selected_version : reply.message_connection_id;
  if (version >= kVersion6_0) {
    message.features = reply.features;
    if ((reply.features & kFeatureServerMonitorPages) != 0) {
      message.parent_to_child = reply.parent_to_child;
      message.child_to_parent = reply.child_to_parent;
    }
  }
  return Emit(message, {.version = version, .features = reply.features});
}

absl::StatusOr<VersionReply> ParseVersionResponse(const CheckedMessage& message, uint32_t version) {
  const auto wire = message.As<VersionResponseMessage>();
  VersionReply reply;
  if (wire.supported == 0) return reply;
  reply.supported = true;
  // Below 2.4 a host has no state to report.
  if (version >= kVersion2_4) reply.state = static_cast<ConnectionState>(wire.connection_state);
  if (version < kVersion5_0) {
    reply.selected_version = wire.version_or_connection_id;
    reply.message_connection_id = kMessageConnectionLegacy;
    return reply;
  }
  reply.selected_version = version;
  reply.message_connection_id = wire.version_or_connection_id;
  if (version < kVersion6_0) return reply;
  // Twice: the flags must be there before they can say that more must be.
  Negotiated negotiated{.version = version};
  for (int pass = 0; pass < 2; ++pass) {
    if (message.bytes().size() < RequiredBytes(message.row(), negotiated)) {
      return Violation(message.row().name, "size", message.bytes().size(),
                       pass == 0 ? "20 with version 6.0" : "40 with server monitor pages");
    }
    negotiated.features = wire.features;
  }
  reply.features = wire.features;
  if ((wire.features & kFeatureServerMonitorPages) != 0) {
    reply.parent_to_child = wire.parent_to_child;
    reply.child_to_parent = wire.child_to_parent;
  }
  return reply;
}

}  // namespace vmbuskit
