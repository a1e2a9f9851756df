// The connection: contact, unload, reset, pause, and what a disconnect sweeps away (protocol 02 sections 3.1 to
// 3.4).
#include <cstring>
#include <utility>

#include "framework/base/status.h"
#include "transports/embedded_host/server.h"

namespace vmbuskit {

absl::Status VmbusServer::HandleContact(const CheckedMessage& message, uint32_t connection_id) {
  ++counters_.contacts;
  absl::StatusOr<Contact> contact = ParseContact(message);
  if (!contact.ok()) return contact.status();
  // SINT and VTL count only in a contact that was posted the new way (UEFI leaves them 0 on id 1).
  if (contact->version < kVersion5_0 || connection_id != kMessageConnection) {
    contact->sint = kVmbusSint;
    contact->vtl = 0;
  }
  const ContactRequest request{
      .contact = *contact,
      .target = {.vp = contact->version >= kVersion3_0 ? contact->target_vp : 0,
                 .sint = contact->sint}};
  if (contact->vtl != 0) {
    return Violation(message.row().name, "vtl", contact->vtl, "only VTL 0 is served here");
  }
  if (request.target.vp >= options_.vp_count) {
    return Violation(message.row().name, "target_vp", request.target.vp, "no such processor");
  }
  if (contact->sint != kVmbusSint) {
    if (contact->sint < kSintCount) AnswerContact(request, {});
    return Violation(message.row().name, "sint", contact->sint, "only SINT 2 is served");
  }
  LiftPause();
  switch (state_) {
    case State::kDisconnected:
      Connect(request);
      break;
    case State::kConnected:
      next_contact_ = request;
      StartDisconnect(/*keep_reserved=*/true);
      break;
    case State::kConnecting:
    case State::kDisconnecting:
      // The last contact wins. Those before it get no answer, which the guest could only take for this one's.
      next_contact_ = request;
      break;
  }
  return absl::OkStatus();
}

bool VmbusServer::AreMonitorPages(Gpa parent_to_child, Gpa child_to_parent) const {
  if (parent_to_child == 0 && child_to_parent == 0) return true;
  if (parent_to_child == 0 || child_to_parent == 0) return false;
  for (Gpa page : {parent_to_child, child_to_parent}) {
    if (page % kPageSize != 0 || page / kPageSize >= options_.guest_page_count) return false;
  }
  return true;
}

void VmbusServer::Connect(const ContactRequest& request) {
  const Contact& contact = request.contact;
  if (!IsKnownVersion(contact.version) || contact.version < options_.min_version ||
      contact.version > options_.max_version) {
    AnswerContact(request, {});
    return;
  }
  uint32_t features = 0;
  if (contact.version >= kVersion6_0) {
    features = contact.features & options_.features & kServerFeatures;
    if (options_.server_child_to_parent == 0) features &= ~kFeatureServerMonitorPages;
  }
  const bool server_pages = (features & kFeatureServerMonitorPages) != 0;
  const ConnectionSetup setup = {
      .version = contact.version,
      .features = features,
      .target = request.target,
      .parent_to_child = server_pages ? options_.server_parent_to_child : contact.parent_to_child,
      .child_to_parent = server_pages ? options_.server_child_to_parent : contact.child_to_parent,
      .server_pages = server_pages,
      .client_id = contact.client_id};
  if (!server_pages && !AreMonitorPages(contact.parent_to_child, contact.child_to_parent)) {
    errors_.Add(Violation("INITIATE_CONTACT", "parent_to_child", contact.parent_to_child,
                          "monitor pages come in pairs, aligned and inside memory"));
    AnswerContact(request, {.supported = true,
                            .state = ConnectionState::kFailedUnknown,
                            .selected_version = contact.version,
                            .message_connection_id = kMessageConnectionLegacy,
                            .features = features});
    return;
  }
  connection_ = setup;
  state_ = State::kConnecting;
  setup_outstanding_ = true;
  queue_.Add(server_action::SetUpConnection{connection_});
}

void VmbusServer::OnConnectionSetUp(bool ok) {
  const Scope scope(*this);
  if (!setup_outstanding_) {
    ++counters_.stale_events;
    return;
  }
  setup_outstanding_ = false;
  if (state_ != State::kConnecting) {
    if (ok) connection_ = modified_;
    if (state_ == State::kConnected) {
      Send(ModifyConnectionResponseMessage{
          .connection_state = static_cast<uint8_t>(ok ? ConnectionState::kSuccessful
                                                      : ConnectionState::kFailedUnknown)});
    }
    MaybeFinishDisconnect();
    return;
  }
  set_up_ = ok;
  if (reset_pending_ || next_contact_.has_value()) {
    StartDisconnect(/*keep_reserved=*/!std::exchange(reset_pending_, false));
    return;
  }
  const ContactRequest request{.contact = {.version = connection_.version},
                               .target = connection_.target};
  VersionReply reply{.supported = true,
                     .state = ok ? ConnectionState::kSuccessful : ConnectionState::kFailedUnknown,
                     .selected_version = connection_.version,
                     .message_connection_id = kMessageConnectionLegacy,
                     .features = connection_.features};
  if (connection_.server_pages) {
    reply.parent_to_child = connection_.parent_to_child;
    reply.child_to_parent = connection_.child_to_parent;
  }
  state_ = ok ? State::kConnected : State::kDisconnected;
  if (ok) negotiated_ = {.version = connection_.version, .features = connection_.features};
  AnswerContact(request, reply);
}

void VmbusServer::AnswerContact(const ContactRequest& request, const VersionReply& reply) {
  // Not held by a pause: it belongs to the connection to come.
  ++counters_.messages_out;
  ++counters_.sent[static_cast<size_t>(MessageType::kVersionResponse)];
  queue_.Add(server_action::PostMessage{request.target,
                                        EmitVersionResponse(reply, request.contact.version)});
}

absl::Status VmbusServer::HandleUnload(const CheckedMessage&) {
  LiftPause();
  answer_unload_ = true;
  StartDisconnect(/*keep_reserved=*/true);
  return absl::OkStatus();
}

void VmbusServer::Reset() {
  const Scope scope(*this);
  LiftPause();
  next_contact_.reset();
  answer_unload_ = false;
  if (state_ == State::kConnecting) reset_pending_ = true;
  if (state_ != State::kConnecting) StartDisconnect(/*keep_reserved=*/false);
}

absl::Status VmbusServer::HandleModifyConnection(const CheckedMessage& message) {
  const auto modify = message.As<ModifyConnectionMessage>();
  absl::Status status;
  if (setup_outstanding_) {
    status = Violation(message.row().name, "outstanding", 1, "one at a time");
  } else if (connection_.server_pages) {
    status = Violation(message.row().name, "parent_to_child", modify.parent_to_child,
                       "the server supplies the monitor pages");
  } else if (!AreMonitorPages(modify.parent_to_child, modify.child_to_parent)) {
    status = Violation(message.row().name, "parent_to_child", modify.parent_to_child,
                       "monitor pages come in pairs, aligned and inside memory");
  }
  if (!status.ok()) {
    Send(ModifyConnectionResponseMessage{
        .connection_state = static_cast<uint8_t>(ConnectionState::kFailedUnknown)});
    return status;
  }
  modified_ = connection_;
  modified_.parent_to_child = modify.parent_to_child;
  modified_.child_to_parent = modify.child_to_parent;
  setup_outstanding_ = true;
  queue_.Add(server_action::SetUpConnection{modified_});
  return absl::OkStatus();
}

absl::Status VmbusServer::HandlePause(const CheckedMessage&) {
  Send(PauseResponseMessage{});
  paused_ = true;
  return absl::OkStatus();
}

absl::Status VmbusServer::HandleResume(const CheckedMessage& message) {
  if (!paused_) return Violation(message.row().name, "paused", 0, "there was no PAUSE");
  LiftPause();
  return absl::OkStatus();
}

void VmbusServer::LiftPause() {
  paused_ = false;
  for (auto& [target, message] : std::exchange(held_messages_, {})) {
    MessageType type{};
    std::memcpy(&type, message.bytes().data(), sizeof type);
    Enqueue(target, type, message);
  }
}

void VmbusServer::StartDisconnect(bool keep_reserved) {
  state_ = State::kDisconnecting;
  negotiated_ = {};
  offers_requested_ = false;
  for (auto it = channels_.all().begin(); it != channels_.all().end();) {
    ServerChannel& channel = (it++)->second;  // a revoked one goes now
    DropChannel(channel, keep_reserved);
  }
  MaybeFinishDisconnect();
}

void VmbusServer::DropChannel(ServerChannel& channel, bool keep_reserved) {
  if (keep_reserved && channel.IsReservedOpen()) return;
  channel.withheld = false;
  channel.reopen.reset();
  channel.next_retarget_vp.reset();
  switch (channel.state) {
    case ChannelState::kRevoked:
    case ChannelState::kReoffered:
      DropGpadls(channel);
      channels_.Remove(channel);
      return;
    case ChannelState::kClosed:
      channel.state = ChannelState::kClientReleased;
      break;
    case ChannelState::kOpening:
      channel.state = ChannelState::kOpeningClientRelease;
      break;
    case ChannelState::kOpen:
      queue_.Add(server_action::CloseChannel{channel.id});
      channel.state = ChannelState::kClosingClientRelease;
      break;
    case ChannelState::kClosing:
    case ChannelState::kClosingReopen:
      channel.state = ChannelState::kClosingClientRelease;
      break;
    case ChannelState::kClientReleased:
    case ChannelState::kOpeningClientRelease:
    case ChannelState::kClosingClientRelease:
      break;
  }
  DropGpadls(channel);
  channels_.FreeNumbers(channel);
}

bool VmbusServer::IsDrained() const {
  if (setup_outstanding_) return false;
  for (const auto& [key, entry] : gpadls_.all()) {
    const auto channel = channels_.all().find(key.first);
    if (channel == channels_.all().end() || !channel->second.IsReservedOpen()) return false;
  }
  for (const auto& [id, channel] : channels_.all()) {
    if (channel.HoldsRings() && !channel.IsReservedOpen()) return false;
  }
  return true;
}

void VmbusServer::MaybeFinishDisconnect() {
  if (state_ != State::kDisconnecting || !IsDrained()) return;
  if (std::exchange(set_up_, false)) queue_.Add(server_action::TearDownConnection{});
  state_ = State::kDisconnected;
  const bool answer_unload = std::exchange(answer_unload_, false);
  if (next_contact_.has_value()) {
    Connect(*std::exchange(next_contact_, std::nullopt));
  } else if (answer_unload) {
    Send(UnloadResponseMessage{});
  }
}

}  // namespace vmbuskit
