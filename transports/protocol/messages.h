// The 29 VMBus control messages as they stand on the wire: little-endian, offsets from the start of
// the message, header included. Lengths that depend on version or features are message_table.h's;
// messages that read differently by version have codecs (contact.h, offer.h, gpadl_messages.h).
//
//   MessageBuffer bytes = Emit(CloseChannelMessage{.relid = 5});         // message_buffer.h
//   auto close = checked.As<CloseChannelMessage>();                      // message_table.h
//
// Thread safety: plain values. Source: protocol 02 sections 2 to 5.
#ifndef VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGES_H_
#define VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGES_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "framework/base/guid.h"
#include "transports/protocol/versions.h"

namespace vmbuskit {

enum class MessageType : uint32_t {
  kOfferChannel = 1,
  kRescindChannelOffer = 2,
  kRequestOffers = 3,
  kAllOffersDelivered = 4,
  kOpenChannel = 5,
  kOpenChannelResult = 6,
  kCloseChannel = 7,
  kGpadlHeader = 8,
  kGpadlBody = 9,
  kGpadlCreated = 10,
  kGpadlTeardown = 11,
  kGpadlTorndown = 12,
  kRelidReleased = 13,
  kInitiateContact = 14,
  kVersionResponse = 15,
  kUnload = 16,
  kUnloadResponse = 17,
  kOpenReservedChannel = 18,
  kCloseReservedChannel = 19,
  kCloseReservedChannelResponse = 20,
  kTlConnectRequest = 21,
  kModifyChannel = 22,
  kTlConnectResult = 23,
  kModifyChannelResponse = 24,
  kModifyConnection = 25,
  kModifyConnectionResponse = 26,
  kPause = 27,
  kPauseResponse = 28,
  kResume = 29,
};

struct MessageHeader {
  MessageType type{};
  uint32_t padding = 0;  // ignored on receipt
};
static_assert(sizeof(MessageHeader) == 8);

// A message that is nothing but its header.
template <MessageType kNumber>
struct HeaderOnlyMessage {
  static constexpr MessageType kType = kNumber;
  MessageHeader header{kType};
};

// A message that names a channel and nothing else.
template <MessageType kNumber>
struct RelidMessage {
  static constexpr MessageType kType = kNumber;
  MessageHeader header{kType};
  uint32_t relid = 0;
};

using RequestOffersMessage = HeaderOnlyMessage<MessageType::kRequestOffers>;
using AllOffersDeliveredMessage = HeaderOnlyMessage<MessageType::kAllOffersDelivered>;
using UnloadMessage = HeaderOnlyMessage<MessageType::kUnload>;
using UnloadResponseMessage = HeaderOnlyMessage<MessageType::kUnloadResponse>;
using PauseMessage = HeaderOnlyMessage<MessageType::kPause>;
using PauseResponseMessage = HeaderOnlyMessage<MessageType::kPauseResponse>;
using ResumeMessage = HeaderOnlyMessage<MessageType::kResume>;
static_assert(sizeof(UnloadMessage) == 8);

using RescindMessage = RelidMessage<MessageType::kRescindChannelOffer>;
using CloseChannelMessage = RelidMessage<MessageType::kCloseChannel>;
using RelidReleasedMessage = RelidMessage<MessageType::kRelidReleased>;
using CloseReservedResponseMessage = RelidMessage<MessageType::kCloseReservedChannelResponse>;
static_assert(sizeof(RescindMessage) == 12 && offsetof(RescindMessage, relid) == 8);

struct OfferChannelMessage {
  static constexpr MessageType kType = MessageType::kOfferChannel;
  MessageHeader header{kType};
  Guid class_id = {};
  Guid instance_id = {};
  std::array<uint8_t, 16> reserved{};
  uint16_t flags = 0;
  uint16_t mmio_megabytes = 0;
  std::array<std::byte, 120> user_defined{};
  uint16_t subchannel_index = 0;
  uint16_t mmio_megabytes_optional = 0;
  uint32_t relid = 0;
  uint8_t monitor_id = 0;
  uint8_t monitor_allocated = 0;     // bit 0
  uint16_t dedicated_interrupt = 0;  // bit 0; from here on absent below 1.1
  uint32_t connection_id = 0;
};
static_assert(sizeof(OfferChannelMessage) == 196);
static_assert(offsetof(OfferChannelMessage, class_id) == 8);
static_assert(offsetof(OfferChannelMessage, instance_id) == 24);
static_assert(offsetof(OfferChannelMessage, flags) == 56);
static_assert(offsetof(OfferChannelMessage, mmio_megabytes) == 58);
static_assert(offsetof(OfferChannelMessage, user_defined) == 60);
static_assert(offsetof(OfferChannelMessage, subchannel_index) == 180);
static_assert(offsetof(OfferChannelMessage, relid) == 184);
static_assert(offsetof(OfferChannelMessage, monitor_id) == 188);
static_assert(offsetof(OfferChannelMessage, monitor_allocated) == 189);
static_assert(offsetof(OfferChannelMessage, dedicated_interrupt) == 190);
static_assert(offsetof(OfferChannelMessage, connection_id) == 192);

struct OpenChannelMessage {
  static constexpr MessageType kType = MessageType::kOpenChannel;
  static constexpr uint16_t kRedirectInterrupt = 0x0001;
  MessageHeader header{kType};
  uint32_t relid = 0;
  uint32_t open_id = 0;
  uint32_t ring_gpadl = 0;
  uint32_t target_vp = 0;
  uint32_t downstream_page = 0;  // 4 KiB pages into the GPADL
  std::array<std::byte, 120> user_data{};
  uint32_t connection_id = 0;  // from here on only with kFeaturesLongOpen
  uint16_t event_flag = 0;
  uint16_t flags = 0;
};
static_assert(sizeof(OpenChannelMessage) == 156);
static_assert(offsetof(OpenChannelMessage, open_id) == 12);
static_assert(offsetof(OpenChannelMessage, ring_gpadl) == 16);
static_assert(offsetof(OpenChannelMessage, target_vp) == 20);
static_assert(offsetof(OpenChannelMessage, downstream_page) == 24);
static_assert(offsetof(OpenChannelMessage, user_data) == 28);
static_assert(offsetof(OpenChannelMessage, connection_id) == 148);
static_assert(offsetof(OpenChannelMessage, event_flag) == 152);
static_assert(offsetof(OpenChannelMessage, flags) == 154);

struct OpenChannelResultMessage {
  static constexpr MessageType kType = MessageType::kOpenChannelResult;
  MessageHeader header{kType};
  uint32_t relid = 0;
  uint32_t open_id = 0;
  uint32_t status = 0;
};
static_assert(sizeof(OpenChannelResultMessage) == 20);
static_assert(offsetof(OpenChannelResultMessage, status) == 16);

// Followed by range bytes: u32 byte count, u32 byte offset, u64 PFN each.
struct GpadlHeaderMessage {
  static constexpr MessageType kType = MessageType::kGpadlHeader;
  MessageHeader header{kType};
  uint32_t relid = 0;
  uint32_t gpadl = 0;
  uint16_t range_bytes = 0;  // all of them, header's and bodies'
  uint16_t range_count = 0;
};
static_assert(sizeof(GpadlHeaderMessage) == 20);
static_assert(offsetof(GpadlHeaderMessage, gpadl) == 12);
static_assert(offsetof(GpadlHeaderMessage, range_bytes) == 16);
static_assert(offsetof(GpadlHeaderMessage, range_count) == 18);

// Followed by the next qwords of the range bytes.
struct GpadlBodyMessage {
  static constexpr MessageType kType = MessageType::kGpadlBody;
  MessageHeader header{kType};
  uint32_t message_number = 0;
  uint32_t gpadl = 0;
};
static_assert(sizeof(GpadlBodyMessage) == 16 && offsetof(GpadlBodyMessage, gpadl) == 12);

struct GpadlCreatedMessage {
  static constexpr MessageType kType = MessageType::kGpadlCreated;
  MessageHeader header{kType};
  uint32_t relid = 0;
  uint32_t gpadl = 0;
  uint32_t status = 0;
};
static_assert(sizeof(GpadlCreatedMessage) == 20 && offsetof(GpadlCreatedMessage, status) == 16);

struct GpadlTeardownMessage {
  static constexpr MessageType kType = MessageType::kGpadlTeardown;
  MessageHeader header{kType};
  uint32_t relid = 0;
  uint32_t gpadl = 0;
};
static_assert(sizeof(GpadlTeardownMessage) == 16 && offsetof(GpadlTeardownMessage, gpadl) == 12);

struct GpadlTorndownMessage {
  static constexpr MessageType kType = MessageType::kGpadlTorndown;
  MessageHeader header{kType};
  uint32_t gpadl = 0;
};
static_assert(sizeof(GpadlTorndownMessage) == 12 && offsetof(GpadlTorndownMessage, gpadl) == 8);

struct InitiateContactMessage {
  static constexpr MessageType kType = MessageType::kInitiateContact;
  MessageHeader header{kType};
  uint32_t version = 0;
  uint32_t target_vp = 0;
  // Below 5.0 these eight bytes are the GPA of the interrupt page.
  uint8_t sint = 0;  // from 5.0 on
  uint8_t vtl = 0;   // from 5.1 on
  uint16_t reserved = 0;
  uint32_t features = 0;  // from 6.0 on
  uint64_t parent_to_child = 0;
  uint64_t child_to_parent = 0;
  Guid client_id = {};  // only with kFeatureClientId
};
static_assert(sizeof(InitiateContactMessage) == 56);
static_assert(offsetof(InitiateContactMessage, version) == 8);
static_assert(offsetof(InitiateContactMessage, target_vp) == 12);
static_assert(offsetof(InitiateContactMessage, sint) == 16);
static_assert(offsetof(InitiateContactMessage, vtl) == 17);
static_assert(offsetof(InitiateContactMessage, features) == 20);
static_assert(offsetof(InitiateContactMessage, parent_to_child) == 24);
static_assert(offsetof(InitiateContactMessage, child_to_parent) == 32);
static_assert(offsetof(InitiateContactMessage, client_id) == 40);

struct VersionResponseMessage {
  static constexpr MessageType kType = MessageType::kVersionResponse;
  MessageHeader header{kType};
  uint8_t supported = 0;
  uint8_t connection_state = 0;
  uint16_t padding = 0;
  uint32_t version_or_connection_id = 0;  // below 5.0 the version; from 5.0 on where to post
  uint32_t features = 0;                  // from 6.0 on, when supported
  uint32_t padding2 = 0;
  uint64_t parent_to_child = 0;  // from here on only with kFeatureServerMonitorPages
  uint64_t child_to_parent = 0;
};
static_assert(sizeof(VersionResponseMessage) == 40);
static_assert(offsetof(VersionResponseMessage, connection_state) == 9);
static_assert(offsetof(VersionResponseMessage, version_or_connection_id) == 12);
static_assert(offsetof(VersionResponseMessage, features) == 16);
static_assert(offsetof(VersionResponseMessage, parent_to_child) == 24);
static_assert(offsetof(VersionResponseMessage, child_to_parent) == 32);

struct OpenReservedChannelMessage {
  static constexpr MessageType kType = MessageType::kOpenReservedChannel;
  MessageHeader header{kType};
  uint32_t relid = 0;
  uint32_t target_vp = 0;
  uint32_t target_sint = 0;
  uint32_t ring_gpadl = 0;
  uint32_t downstream_page = 0;
};
static_assert(sizeof(OpenReservedChannelMessage) == 28);
static_assert(offsetof(OpenReservedChannelMessage, target_sint) == 16);
static_assert(offsetof(OpenReservedChannelMessage, ring_gpadl) == 20);
static_assert(offsetof(OpenReservedChannelMessage, downstream_page) == 24);

struct CloseReservedChannelMessage {
  static constexpr MessageType kType = MessageType::kCloseReservedChannel;
  MessageHeader header{kType};
  uint32_t relid = 0;
  uint32_t target_vp = 0;
  uint32_t target_sint = 0;
};
static_assert(sizeof(CloseReservedChannelMessage) == 20);
static_assert(offsetof(CloseReservedChannelMessage, target_sint) == 16);

struct TlConnectRequestMessage {
  static constexpr MessageType kType = MessageType::kTlConnectRequest;
  MessageHeader header{kType};
  Guid endpoint_id = {};
  Guid service_id = {};
  Guid silo_id = {};  // from 5.2 on, may be absent
};
static_assert(sizeof(TlConnectRequestMessage) == 56);
static_assert(offsetof(TlConnectRequestMessage, service_id) == 24);
static_assert(offsetof(TlConnectRequestMessage, silo_id) == 40);

struct TlConnectResultMessage {
  static constexpr MessageType kType = MessageType::kTlConnectResult;
  MessageHeader header{kType};
  Guid endpoint_id = {};
  Guid service_id = {};
  uint32_t status = 0;
};
static_assert(sizeof(TlConnectResultMessage) == 44);
static_assert(offsetof(TlConnectResultMessage, status) == 40);

struct ModifyChannelMessage {
  static constexpr MessageType kType = MessageType::kModifyChannel;
  MessageHeader header{kType};
  uint32_t relid = 0;
  uint32_t target_vp = 0;
};
static_assert(sizeof(ModifyChannelMessage) == 16 &&
              offsetof(ModifyChannelMessage, target_vp) == 12);

struct ModifyChannelResponseMessage {
  static constexpr MessageType kType = MessageType::kModifyChannelResponse;
  MessageHeader header{kType};
  uint32_t relid = 0;
  uint32_t status = 0;
};
static_assert(sizeof(ModifyChannelResponseMessage) == 16);
static_assert(offsetof(ModifyChannelResponseMessage, status) == 12);

struct ModifyConnectionMessage {
  static constexpr MessageType kType = MessageType::kModifyConnection;
  MessageHeader header{kType};
  uint64_t parent_to_child = 0;
  uint64_t child_to_parent = 0;
};
static_assert(sizeof(ModifyConnectionMessage) == 24);
static_assert(offsetof(ModifyConnectionMessage, child_to_parent) == 16);

// Nine bytes on the wire; the compiler's padding is never sent (message_table.h knows).
struct ModifyConnectionResponseMessage {
  static constexpr MessageType kType = MessageType::kModifyConnectionResponse;
  MessageHeader header{kType};
  uint8_t connection_state = 0;
};
static_assert(offsetof(ModifyConnectionResponseMessage, connection_state) == 8);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGES_H_
