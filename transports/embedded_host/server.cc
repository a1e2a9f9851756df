#include "transports/embedded_host/server.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "framework/base/string_view.h"

namespace vmbuskit {

VmbusServer::VmbusServer(ServerOptions options, ServerActions& actions)
    : options_(options),
      actions_(actions),
      errors_(options.error_count_max),
      gpadls_({.bytes_max = options.gpadl_limit_bytes,
               .count_max = options.gpadl_count_max,
               .in_progress_pages_max = options.gpadl_in_progress_pages_max}) {}

void VmbusServer::HandleMessage(std::span<const std::byte> bytes, uint32_t connection_id) {
  const Scope scope(*this);
  ++counters_.messages_in;
  const absl::StatusOr<CheckedMessage> message =
      CheckMessage(Direction::kGuestToHost, negotiated_, bytes);
  if (!message.ok()) {
    errors_.Add(message.status());
    return;
  }
  ++counters_.received[static_cast<size_t>(message->type())];
  const absl::Status status = Dispatch(*message, connection_id);
  if (!status.ok()) errors_.Add(status);
}

absl::Status VmbusServer::Dispatch(const CheckedMessage& message, uint32_t connection_id) {
  const MessageType type = message.type();
  if (type == MessageType::kInitiateContact) return HandleContact(message, connection_id);
  if (type == MessageType::kUnload) return HandleUnload(message);
  if (type == MessageType::kResume) return HandleResume(message);
  if (paused_) return Violation(message.row().name, "paused", 1, "the guest asked for a pause");
  switch (type) {
    case MessageType::kRequestOffers:
      return HandleRequestOffers(message);
    case MessageType::kModifyConnection:
      return HandleModifyConnection(message);
    case MessageType::kPause:
      return HandlePause(message);
    case MessageType::kTlConnectRequest:
      return HandleTlConnect(message);
    default:
      return DispatchChannel(message);
  }
}

absl::Status VmbusServer::DispatchChannel(const CheckedMessage& message) {
  switch (message.type()) {
    case MessageType::kOpenChannel:
      return HandleOpen(message);
    case MessageType::kCloseChannel:
      return HandleClose(message);
    case MessageType::kGpadlHeader:
      return HandleGpadlHeader(message);
    case MessageType::kGpadlBody:
      return HandleGpadlBody(message);
    case MessageType::kGpadlTeardown:
      return HandleGpadlTeardown(message);
    case MessageType::kRelidReleased:
      return HandleRelidReleased(message);
    case MessageType::kOpenReservedChannel:
      return HandleOpenReserved(message);
    case MessageType::kCloseReservedChannel:
      return HandleCloseReserved(message);
    case MessageType::kModifyChannel:
      return HandleModifyChannel(message);
    default:
      return Violation(message.row().name, "type", static_cast<uint32_t>(message.type()));
  }
}

void VmbusServer::Enqueue(MessageTarget target, MessageType type, MessageBuffer message) {
  if (paused_) {
    held_messages_.emplace_back(target, message);
    return;
  }
  ++counters_.messages_out;
  ++counters_.sent[static_cast<size_t>(type)];
  queue_.Add(server_action::PostMessage{target, message});
}

absl::StatusOr<ServerChannel*> VmbusServer::FindRelid(const CheckedMessage& message,
                                                      uint32_t relid) {
  ServerChannel* channel = channels_.FindRelid(relid);
  if (channel == nullptr) return Violation(message.row().name, "relid", relid, "not offered");
  // What survived an earlier connection is not this one's before it was offered again.
  if (negotiated_.version != 0 && !offers_requested_) {
    return Violation(message.row().name, "relid", relid, "offers were not requested");
  }
  return channel;
}

absl::Status VmbusServer::StateError(const CheckedMessage& message,
                                     const ServerChannel& channel) const {
  return Violation(message.row().name, "relid", channel.relid,
                   absl::StrCat("channel is ", ToAbsl(ChannelStateName(channel.state)),
                                channel.open.reserved ? " (reserved)" : ""));
}

ServerChannel* VmbusServer::FindForEvent(ChannelId id) {
  ServerChannel* channel = channels_.FindLive(id);
  if (channel == nullptr) ++counters_.stale_events;
  return channel;
}

std::shared_ptr<const GpadlPages> VmbusServer::FindGpadl(ChannelId id, uint32_t handle) const {
  const GpadlEntry* entry = gpadls_.Find(id, handle);
  if (entry == nullptr || entry->state != GpadlState::kAccepted) return nullptr;
  return entry->pages;
}

}  // namespace vmbuskit
