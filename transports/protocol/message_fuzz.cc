// Control messages of any length and content, for each direction, version and feature set: what is accepted can be
// sent again, and reads the same then.
#include <algorithm>
#include <vector>

#include "framework/base/fuzzing.h"
#include "transports/protocol/contact.h"
#include "transports/protocol/message_buffer.h"
#include "transports/protocol/message_mutator.h"
#include "transports/protocol/message_script.h"
#include "transports/protocol/offer.h"

namespace vmbuskit {
namespace {

bool Same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::ranges::equal(a, b);
}

template <typename T>
void CheckEmitted(const CheckedMessage& message, Negotiated negotiated) {
  if (message.type() != T::kType) return;
  // A contact and its answer have the length of what they are about, which is not negotiated yet.
  const size_t size = std::min(RequiredBytes(message.row(), negotiated), message.bytes().size());
  const MessageBuffer sent = Emit(message.As<T>(), negotiated);
  Require(sent.size() >= size && Same(sent.bytes().first(size), message.bytes().first(size)));
  Require(CheckMessage(message.row().direction, negotiated, sent.bytes()).ok());
}

template <typename... T>
void CheckEmittedAs(const CheckedMessage& message, Negotiated negotiated) {
  (CheckEmitted<T>(message, negotiated), ...);
}

// Emits what was parsed, parses that, and emits it once more.
template <typename ParseAndEmit>
void CheckStable(const CheckedMessage& message, ParseAndEmit parse_and_emit) {
  const absl::StatusOr<MessageBuffer> first = parse_and_emit(message);
  if (!first.ok()) return;
  const absl::StatusOr<MessageBuffer> second =
      parse_and_emit(CheckedMessage(message.row(), first->bytes()));
  Require(second.ok() && Same(first->bytes(), second->bytes()));
}

void CheckCodecs(const CheckedMessage& message, Negotiated negotiated, uint32_t proposed) {
  using Result = absl::StatusOr<MessageBuffer>;
  switch (message.type()) {
    case MessageType::kInitiateContact:
      return CheckStable(message, [](const CheckedMessage& from) -> Result {
        const auto contact = ParseContact(from);
        return contact.ok() ? Result(EmitContact(*contact)) : contact.status();
      });
    case MessageType::kVersionResponse:
      return CheckStable(message, [&](const CheckedMessage& from) -> Result {
        const auto reply = ParseVersionResponse(from, proposed);
        return reply.ok() ? Result(EmitVersionResponse(*reply, proposed)) : reply.status();
      });
    case MessageType::kOfferChannel:
      return CheckStable(message, [&](const CheckedMessage& from) -> Result {
        const auto offer = ParseOffer(from, negotiated);
        if (offer.ok()) Require(offer->relid >= kRelidMin && offer->relid <= kRelidMax);
        return offer.ok() ? Result(Emit(*offer, negotiated)) : offer.status();
      });
    default:
      return;
  }
}

constexpr size_t kMessagesMax = 16;

enum Operation : uint8_t { kNegotiated = kFuzzOperationMin };

using enum FuzzField;
constexpr FuzzField kNegotiatedFields[] = {kVersion, kFeatures, kVersion};
constexpr FuzzLayout kOperations[] = {{kNegotiated, kNegotiatedFields}};

void Check(std::span<const std::byte> bytes, Negotiated negotiated, uint32_t proposed) {
  for (Direction direction : {Direction::kGuestToHost, Direction::kHostToGuest}) {
    const auto message = CheckMessage(direction, negotiated, bytes);
    if (!message.ok()) continue;
    Require(message->row().direction == direction && message->bytes().size() <= kMessageBytesMax);
    Require(FindMessage(static_cast<uint32_t>(message->type())) == &message->row());
    CheckEmittedAs<
        OfferChannelMessage, RescindMessage, RequestOffersMessage, AllOffersDeliveredMessage,
        OpenChannelMessage, OpenChannelResultMessage, CloseChannelMessage, GpadlHeaderMessage,
        GpadlBodyMessage, GpadlCreatedMessage, GpadlTeardownMessage, GpadlTorndownMessage,
        RelidReleasedMessage, InitiateContactMessage, VersionResponseMessage, UnloadMessage,
        UnloadResponseMessage, OpenReservedChannelMessage, CloseReservedChannelMessage,
        CloseReservedResponseMessage, TlConnectRequestMessage, ModifyChannelMessage,
        TlConnectResultMessage, ModifyChannelResponseMessage, ModifyConnectionMessage,
        ModifyConnectionResponseMessage, PauseMessage, PauseResponseMessage, ResumeMessage>(
        *message, negotiated);
    CheckCodecs(*message, negotiated, proposed);
  }
}

}  // namespace
}  // namespace vmbuskit

VMBUSKIT_MESSAGE_MUTATOR(.direction = vmbuskit::Direction::kHostToGuest,
                         .operations = vmbuskit::kOperations)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmbuskit;
  MessageScript script({data, size});
  Negotiated negotiated{
      .version = kVersionsNewestFirst[script.Option(0) % kVersionsNewestFirst.size()],
      .features = script.Option(1)};
  uint32_t proposed = negotiated.version;
  for (size_t i = 0; i < kMessagesMax; ++i) {
    const std::optional<ScriptRecord> record = script.Next();
    if (!record.has_value()) return 0;
    Require(!MessageName(record->kind).empty());
    if (record->kind == kNegotiated) {
      ScriptArguments arguments(record->bytes);
      negotiated.version = arguments.Take<uint32_t>();
      negotiated.features = arguments.Take<uint32_t>();
      proposed = arguments.Take<uint32_t>();
      Require(!VersionText(negotiated.version).empty());
      Require(!IsKnownVersion(negotiated.version) || negotiated.version >= kVersion2_4);
      const uint32_t contact = ContactConnectionId(negotiated.version);
      Require(EventConnectionId(contact, kVmbusSint) > kMessageConnection);
    } else if (record->IsMessage()) {
      Check(record->Message(negotiated).bytes(), negotiated, proposed);
    }
  }
  return 0;
}
