#include "transports/protocol/message_table.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"

namespace vmbuskit {
namespace {

constexpr Direction kG = Direction::kGuestToHost;
constexpr Direction kH = Direction::kHostToGuest;
constexpr uint32_t kAny = 0;

using enum MessageType;

// clang-format off
constexpr std::array<MessageRow, kMessageTypeCount> kTable = {{
    // type, name, direction, version, features, unconnected, bytes, steps
    {kOfferChannel, "OFFER_CHANNEL", kH, kAny, 0, false, 190, {{{kVersion1_1, 0, 196}}}},
    {kRescindChannelOffer, "RESCIND_CHANNEL_OFFER", kH, kAny, 0, false, 12, {}},
    {kRequestOffers, "REQUEST_OFFERS", kG, kAny, 0, false, 8, {}},
    {kAllOffersDelivered, "ALL_OFFERS_DELIVERED", kH, kAny, 0, false, 8, {}},
    {kOpenChannel, "OPEN_CHANNEL", kG, kAny, 0, false, 148,
     {{{kVersion6_0, kFeaturesLongOpen, 156}}}},
    {kOpenChannelResult, "OPEN_CHANNEL_RESULT", kH, kAny, 0, false, 20, {}},
    {kCloseChannel, "CLOSE_CHANNEL", kG, kAny, 0, false, 12, {}},
    {kGpadlHeader, "GPADL_HEADER", kG, kAny, 0, false, 20, {}},
    {kGpadlBody, "GPADL_BODY", kG, kAny, 0, false, 16, {}},
    {kGpadlCreated, "GPADL_CREATED", kH, kAny, 0, false, 20, {}},
    {kGpadlTeardown, "GPADL_TEARDOWN", kG, kAny, 0, false, 16, {}},
    {kGpadlTorndown, "GPADL_TORNDOWN", kH, kAny, 0, false, 12, {}},
    {kRelidReleased, "RELID_RELEASED", kG, kAny, 0, false, 12, {}},
    {kInitiateContact, "INITIATE_CONTACT", kG, kAny, 0, true, 40,
     {{{kVersion6_0, kFeatureClientId, 56}}}},
    {kVersionResponse, "VERSION_RESPONSE", kH, kAny, 0, true, 16,
     {{{kVersion6_0, 0, 20}, {kVersion6_0, kFeatureServerMonitorPages, 40}}}},
    {kUnload, "UNLOAD", kG, kAny, 0, false, 8, {}},
    {kUnloadResponse, "UNLOAD_RESPONSE", kH, kVersion1_1, 0, false, 8, {}},
    {kOpenReservedChannel, "OPEN_RESERVED_CHANNEL", kG, kVersion4_0, 0, false, 28, {}},
    {kCloseReservedChannel, "CLOSE_RESERVED_CHANNEL", kG, kAny, 0, true, 20, {}},
    // A reserved channel outlives the connection, so its last answer may come without one.
    {kCloseReservedChannelResponse, "CLOSE_RESERVED_CHANNEL_RESPONSE", kH, kVersion4_0, 0, true, 12,
     {}},
    {kTlConnectRequest, "TL_CONNECT_REQUEST", kG, kVersion4_0, 0, false, 40, {}},
    {kModifyChannel, "MODIFY_CHANNEL", kG, kVersion4_1, 0, false, 16, {}},
    {kTlConnectResult, "TL_CONNECT_RESULT", kH, kVersion4_1, 0, false, 44, {}},
    {kModifyChannelResponse, "MODIFY_CHANNEL_RESPONSE", kH, kVersion5_3, 0, false, 16, {}},
    {kModifyConnection, "MODIFY_CONNECTION", kG, kVersion6_0, kFeatureModifyConnection, false, 24,
     {}},
    {kModifyConnectionResponse, "MODIFY_CONNECTION_RESPONSE", kH, kVersion6_0,
     kFeatureModifyConnection, false, 9, {}},
    {kPause, "PAUSE", kG, kVersion6_0, kFeaturePauseResume, false, 8, {}},
    {kPauseResponse, "PAUSE_RESPONSE", kH, kVersion6_0, kFeaturePauseResume, false, 8, {}},
    {kResume, "RESUME", kG, kVersion6_0, kFeaturePauseResume, false, 8, {}},
}};
// clang-format on

constexpr bool InOrder() {
  for (size_t i = 0; i < kTable.size(); ++i) {
    if (kTable[i].type != static_cast<MessageType>(i + 1)) return false;
    if (kTable[i].bytes < sizeof(MessageHeader) || kTable[i].name.empty()) return false;
  }
  return true;
}
static_assert(InOrder());

}  // namespace

constexpr std::array<MessageRow, kMessageTypeCount> kMessageTable = kTable;

const MessageRow* FindMessage(uint32_t type) {
  if (type < 1 || type > kMessageTypeCount) return nullptr;
  return &kMessageTable[type - 1];
}

const MessageRow& RowOf(MessageType type) { return kMessageTable[static_cast<size_t>(type) - 1]; }

std::string MessageName(uint32_t type) {
  const MessageRow* row = FindMessage(type);
  return row != nullptr ? std::string(row->name) : absl::StrCat("message ", type);
}

size_t RequiredBytes(const MessageRow& row, Negotiated negotiated) {
  size_t bytes = row.bytes;
  for (const SizeStep& step : row.steps) {
    if (step.bytes == 0 || negotiated.version < step.version) continue;
    if (step.features != 0 && (negotiated.features & step.features) == 0) continue;
    bytes = std::max<size_t>(bytes, step.bytes);
  }
  return bytes;
}

absl::StatusOr<CheckedMessage> CheckMessage(Direction direction, Negotiated negotiated,
                                            std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(MessageHeader)) {
    return Violation("control message", "size", bytes.size(), "at least 8");
  }
  if (bytes.size() > kMessageBytesMax) {
    return Violation("control message", "size", bytes.size(), "at most 240");
  }
  uint32_t type = 0;
  std::memcpy(&type, bytes.data(), sizeof type);
  const MessageRow* row = FindMessage(type);
  if (row == nullptr) return Violation("control message", "type", type, "known are 1 to 29");
  if (row->direction != direction) {
    return Violation(row->name, "type", type,
                     direction == kG ? "only a host sends it" : "only a guest sends it");
  }
  if (negotiated.version == 0 && !row->unconnected) {
    return Violation(row->name, "version", 0, "there is no connection");
  }
  if (negotiated.version != 0 && negotiated.version < row->version) {
    return Violation(row->name, "version", negotiated.version,
                     absl::StrCat("needs ", VersionText(row->version)));
  }
  if ((negotiated.features & row->features) != row->features) {
    return Violation(row->name, "features", negotiated.features,
                     absl::StrCat("needs flag ", row->features));
  }
  const size_t required = RequiredBytes(*row, negotiated);
  // The contact's and the response's own length depends on what they propose or grant: contact.h
  // checks that.
  const bool negotiating = row->type == kInitiateContact || row->type == kVersionResponse;
  if (bytes.size() < (negotiating ? row->bytes : required)) {
    return Violation(row->name, "size", bytes.size(), absl::StrCat("at least ", required));
  }
  return CheckedMessage(*row, bytes);
}

}  // namespace vmbuskit
