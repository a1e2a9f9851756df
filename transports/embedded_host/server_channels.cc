// Open, close, retarget (protocol 02 sections 5.2 to 5.4).
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "transports/embedded_host/server.h"

namespace vmbuskit {

absl::Status VmbusServer::HandleOpen(const CheckedMessage& message) {
  const auto open = message.As<OpenChannelMessage>();
  const absl::StatusOr<ServerChannel*> found = FindRelid(message, open.relid);
  if (!found.ok()) return found.status();
  ServerChannel& channel = **found;
  if (channel.IsRevoked()) return absl::OkStatus();  // the guest learns from RESCIND
  const uint32_t features = negotiated_.features;
  const bool own_signals = (features & kFeatureGuestSignalParameters) != 0;
  const PendingOpen wanted{
      .open_id = open.open_id,
      .ring_gpadl = open.ring_gpadl,
      .target_vp = open.target_vp,
      .downstream_page = open.downstream_page,
      .user_data = open.user_data,
      .connection_id =
          own_signals ? open.connection_id : EventConnectionId(channel.relid, kVmbusSint),
      .event_flag = own_signals ? open.event_flag : channel.relid,
      .redirect_interrupt = (features & kFeatureInterruptRedirection) != 0 &&
                            (open.flags & OpenChannelMessage::kRedirectInterrupt) != 0};
  if (channel.state == ChannelState::kClosing) {
    // Legal, because a guest never hears that a close completed.
    channel.reopen = wanted;
    channel.state = ChannelState::kClosingReopen;
    return absl::OkStatus();
  }
  if (channel.state != ChannelState::kClosed) return StateError(message, channel);
  TryOpen(channel, wanted);
  return absl::OkStatus();
}

absl::Status VmbusServer::HandleOpenReserved(const CheckedMessage& message) {
  const auto open = message.As<OpenReservedChannelMessage>();
  const absl::StatusOr<ServerChannel*> found = FindRelid(message, open.relid);
  if (!found.ok()) return found.status();
  ServerChannel& channel = **found;
  if (channel.IsRevoked()) return absl::OkStatus();
  if (open.target_vp >= options_.vp_count) {
    return Violation(message.row().name, "target_vp", open.target_vp, "no such processor");
  }
  if (open.target_sint >= kSintCount) {
    return Violation(message.row().name, "target_sint", open.target_sint, "0 to 15");
  }
  if (channel.state != ChannelState::kClosed) return StateError(message, channel);
  TryOpen(channel, {.ring_gpadl = open.ring_gpadl,
                    .target_vp = kNoTargetVp,
                    .downstream_page = open.downstream_page,
                    .connection_id = EventConnectionId(channel.relid, kVmbusSint),
                    .event_flag = channel.relid,
                    .reserved = true,
                    .reserved_target = {.vp = open.target_vp, .sint = open.target_sint}});
  return absl::OkStatus();
}

absl::StatusOr<OpenRequest> VmbusServer::BuildOpenRequest(const ServerChannel& channel,
                                                          const PendingOpen& wanted) const {
  constexpr std::string_view kName = "OPEN_CHANNEL";
  const GpadlEntry* ring = gpadls_.Find(channel.id, wanted.ring_gpadl);
  if (ring == nullptr || ring->state != GpadlState::kAccepted) {
    return Violation(kName, "ring_gpadl", wanted.ring_gpadl, "not a GPADL of this channel");
  }
  if (!ring->pages->IsWholePages()) {
    return Violation(kName, "ring_gpadl", wanted.ring_gpadl, "a ring is one range of whole pages");
  }
  const size_t pages = ring->pages->pfns.size();
  if (wanted.downstream_page < 2 || wanted.downstream_page >= pages ||
      pages - wanted.downstream_page < 2) {
    return Violation(kName, "downstream_page", wanted.downstream_page,
                     absl::StrCat("two pages for each ring, of ", pages));
  }
  if (wanted.target_vp != kNoTargetVp && wanted.target_vp >= options_.vp_count) {
    return Violation(kName, "target_vp", wanted.target_vp, "no such processor");
  }
  if (wanted.event_flag >= kEventFlagCount) {
    return Violation(kName, "event_flag", wanted.event_flag, "at most 2047");
  }
  if (wanted.connection_id <= kMessageConnection || wanted.connection_id > kConnectionIdMask ||
      channels_.FindConnectionId(wanted.connection_id, &channel) != nullptr) {
    return Violation(kName, "connection_id", wanted.connection_id, "in use or no event connection");
  }
  return OpenRequest{.relid = channel.relid,
                     .subchannel_index = channel.offer.subchannel_index,
                     .ring_gpadl = wanted.ring_gpadl,
                     .ring = ring->pages,
                     .downstream_page = wanted.downstream_page,
                     .target_vp = wanted.target_vp,
                     .event_flag = static_cast<uint16_t>(wanted.event_flag),
                     .connection_id = wanted.connection_id,
                     .monitor_id = channel.monitor_id,
                     .redirect_interrupt = wanted.redirect_interrupt,
                     .reserved = wanted.reserved,
                     .user_data = wanted.user_data};
}

void VmbusServer::TryOpen(ServerChannel& channel, const PendingOpen& wanted) {
  absl::StatusOr<OpenRequest> request = BuildOpenRequest(channel, wanted);
  if (!request.ok()) {
    errors_.Add(request.status());
    AnswerOpen(channel, wanted, kStatusUnsuccessful);
    return;
  }
  channel.open = wanted;
  channel.state = ChannelState::kOpening;
  queue_.Add(server_action::OpenChannel{channel.id, *std::move(request)});
}

void VmbusServer::AnswerOpen(const ServerChannel& channel, const PendingOpen& wanted,
                             uint32_t status) {
  SendTo(wanted.reserved ? wanted.reserved_target : connection_.target,
         OpenChannelResultMessage{
             .relid = channel.relid, .open_id = wanted.open_id, .status = status});
}

void VmbusServer::OnOpenCompleted(ChannelId id, bool ok) {
  const Scope scope(*this);
  ServerChannel* channel = FindForEvent(id);
  if (channel == nullptr) return;
  if (channel->state == ChannelState::kOpening) {
    channel->state = ok ? ChannelState::kOpen : ChannelState::kClosed;
    AnswerOpen(*channel, channel->open, ok ? kStatusSuccess : kStatusUnsuccessful);
    if (!ok) channel->open = {};
  } else if (channel->state == ChannelState::kOpeningClientRelease) {
    if (!ok) return FinishRelease(*channel);
    channel->state = ChannelState::kClosingClientRelease;
    queue_.Add(server_action::CloseChannel{id});
  } else {
    ++counters_.stale_events;
  }
}

absl::Status VmbusServer::HandleClose(const CheckedMessage& message) {
  const auto close = message.As<CloseChannelMessage>();
  const absl::StatusOr<ServerChannel*> found = FindRelid(message, close.relid);
  if (!found.ok()) return found.status();
  ServerChannel& channel = **found;
  if (channel.IsRevoked()) return absl::OkStatus();
  if (channel.state != ChannelState::kOpen || channel.open.reserved) {
    return StateError(message, channel);
  }
  channel.state = ChannelState::kClosing;
  queue_.Add(server_action::CloseChannel{channel.id});
  return absl::OkStatus();
}

absl::Status VmbusServer::HandleCloseReserved(const CheckedMessage& message) {
  const auto close = message.As<CloseReservedChannelMessage>();
  // Legal without a connection, and on one that was not offered the channel yet.
  ServerChannel* channel = channels_.FindRelid(close.relid);
  if (channel == nullptr) {
    return Violation(message.row().name, "relid", close.relid, "not offered");
  }
  if (close.target_vp >= options_.vp_count) {
    return Violation(message.row().name, "target_vp", close.target_vp, "no such processor");
  }
  if (close.target_sint >= kSintCount) {
    return Violation(message.row().name, "target_sint", close.target_sint, "0 to 15");
  }
  if (channel->IsRevoked()) return absl::OkStatus();
  if (!channel->IsReservedOpen()) return StateError(message, *channel);
  channel->close_answer = {.target = {.vp = close.target_vp, .sint = close.target_sint},
                           .relid = close.relid};
  queue_.Add(server_action::CloseChannel{channel->id});
  if (offers_requested_) {
    channel->state = ChannelState::kClosing;
  } else {
    channel->state = ChannelState::kClosingClientRelease;
    DropGpadls(*channel);
    channels_.FreeNumbers(*channel);
  }
  return absl::OkStatus();
}

void VmbusServer::OnCloseCompleted(ChannelId id) {
  const Scope scope(*this);
  ServerChannel* channel = FindForEvent(id);
  if (channel == nullptr) return;
  const ChannelState state = channel->state;
  if (state != ChannelState::kClosing && state != ChannelState::kClosingReopen &&
      state != ChannelState::kClosingClientRelease) {
    ++counters_.stale_events;
    return;
  }
  if (channel->retarget_vp.has_value()) AnswerModify(*channel, kStatusUnsuccessful);
  channel->retarget_vp.reset();
  channel->next_retarget_vp.reset();
  if (channel->close_answer.has_value()) {
    SendTo(channel->close_answer->target,
           CloseReservedResponseMessage{.relid = channel->close_answer->relid});
    channel->close_answer.reset();
  }
  if (state == ChannelState::kClosingClientRelease) return FinishRelease(*channel);
  channel->state = ChannelState::kClosed;
  channel->open = {};
  StartDeferredTearDowns(*channel);
  if (state == ChannelState::kClosingReopen) {
    TryOpen(*channel, *std::exchange(channel->reopen, std::nullopt));
  }
}

void VmbusServer::FinishRelease(ServerChannel& channel) {
  channel.state = ChannelState::kClientReleased;
  channel.open = {};
  StartDeferredTearDowns(channel);
  MaybeFinishDisconnect();
  if (MayOffer(channel)) SendOffer(channel);
}

absl::Status VmbusServer::HandleModifyChannel(const CheckedMessage& message) {
  const auto modify = message.As<ModifyChannelMessage>();
  const absl::Status status = StartModify(message, modify);
  // Below 5.3 nobody is told; and one sent before the previous answer is dropped.
  const bool dropped = absl::IsAborted(status);
  if (!status.ok() && !dropped && negotiated_.version >= kVersion5_3) {
    Send(ModifyChannelResponseMessage{.relid = modify.relid, .status = kStatusUnsuccessful});
  }
  // One that crossed the RESCIND is nobody's mistake.
  const ServerChannel* const channel = channels_.FindRelid(modify.relid);
  return channel != nullptr && channel->IsRevoked() ? absl::OkStatus() : status;
}

absl::Status VmbusServer::StartModify(const CheckedMessage& message,
                                      const ModifyChannelMessage& modify) {
  const absl::StatusOr<ServerChannel*> found = FindRelid(message, modify.relid);
  if (!found.ok()) return found.status();
  ServerChannel& channel = **found;
  if (channel.state != ChannelState::kOpen || channel.open.reserved) {
    return StateError(message, channel);
  }
  if (channel.open.target_vp == kNoTargetVp) {
    return Violation(message.row().name, "relid", modify.relid, "opened without interrupts");
  }
  if (modify.target_vp >= options_.vp_count) {
    return Violation(message.row().name, "target_vp", modify.target_vp, "no such processor");
  }
  if (!channel.retarget_vp.has_value()) {
    channel.retarget_vp = modify.target_vp;
    queue_.Add(server_action::Retarget{channel.id, modify.target_vp});
    return absl::OkStatus();
  }
  if (negotiated_.version >= kVersion5_3) {
    return absl::AbortedError(absl::StrCat("MODIFY_CHANNEL: relid is ", modify.relid,
                                           ": the previous one was not answered yet"));
  }
  channel.next_retarget_vp = modify.target_vp;
  return absl::OkStatus();
}

void VmbusServer::OnRetargeted(ChannelId id, bool ok) {
  const Scope scope(*this);
  ServerChannel* channel = FindForEvent(id);
  if (channel == nullptr) return;
  if (!channel->retarget_vp.has_value()) {
    ++counters_.stale_events;
    return;
  }
  if (ok) channel->open.target_vp = *channel->retarget_vp;
  channel->retarget_vp.reset();
  AnswerModify(*channel, ok ? kStatusSuccess : kStatusUnsuccessful);
  if (channel->next_retarget_vp.has_value() && channel->state == ChannelState::kOpen) {
    channel->retarget_vp = std::exchange(channel->next_retarget_vp, std::nullopt);
    queue_.Add(server_action::Retarget{id, *channel->retarget_vp});
  }
}

void VmbusServer::AnswerModify(const ServerChannel& channel, uint32_t status) {
  if (negotiated_.version < kVersion5_3 || channel.relid == 0) return;
  Send(ModifyChannelResponseMessage{.relid = channel.relid, .status = status});
}

absl::Status VmbusServer::HandleTlConnect(const CheckedMessage& message) {
  const auto request = message.As<TlConnectRequestMessage>();
  if (negotiated_.version < kVersion4_1) return absl::OkStatus();
  Send(TlConnectResultMessage{.endpoint_id = request.endpoint_id,
                              .service_id = request.service_id,
                              .status = kStatusConnectionRefused});
  return absl::OkStatus();
}

}  // namespace vmbuskit
