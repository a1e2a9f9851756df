// Offers, re-offers, revocation and the return of relids (protocol 02 sections 4 and 5.4).
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "platform/random.h"
#include "transports/embedded_host/server.h"
#include "transports/protocol/offer.h"

namespace vmbuskit {
namespace {

std::string Describe(const OfferParameters& offer) {
  return absl::StrCat("offer ", offer.class_id.ToString(), " instance ",
                      offer.instance_id.ToString(), " index ", offer.subchannel_index);
}

}  // namespace

absl::StatusOr<ChannelId> VmbusServer::Offer(const OfferParameters& parameters) {
  const Scope scope(*this);
  const Guid& class_id = parameters.class_id;
  const Guid& instance_id = parameters.instance_id;
  const uint16_t index = parameters.subchannel_index;
  if (index != 0 && channels_.FindLive(class_id, instance_id, 0) == nullptr) {
    return absl::NotFoundError(absl::StrCat(Describe(parameters), ": there is no primary"));
  }
  if (channels_.FindLive(class_id, instance_id, index) != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat(Describe(parameters), ": offered already"));
  }
  ServerChannel* held = channels_.FindRevoked(class_id, instance_id, index);
  if (held == nullptr && !channels_.HasRoom()) {
    return absl::ResourceExhaustedError(
        absl::StrCat(Describe(parameters), ": all ", kRelidMax, " relids are lent"));
  }
  ServerChannel& channel = channels_.Add(parameters);
  if (held != nullptr) channels_.Link(*held, channel);
  if (MayOffer(channel)) SendOffer(channel);
  return channel.id;
}

std::vector<ChannelId> VmbusServer::Subchannels(ChannelId primary) const {
  std::vector<ChannelId> ids;
  const auto it = channels_.all().find(primary);
  if (it == channels_.all().end() || it->second.IsRevoked()) return ids;
  const OfferParameters& offer = it->second.offer;
  if (offer.subchannel_index != 0) return ids;
  std::vector<std::pair<uint16_t, ChannelId>> found;
  for (const auto& [id, channel] : channels_.all()) {
    if (channel.offer.subchannel_index != 0 && !channel.IsRevoked() &&
        channel.offer.instance_id == offer.instance_id &&
        channel.offer.class_id == offer.class_id) {
      found.emplace_back(channel.offer.subchannel_index, id);
    }
  }
  std::sort(found.begin(), found.end());
  for (const auto& [index, id] : found) ids.push_back(id);
  return ids;
}

absl::Status VmbusServer::HandleRequestOffers(const CheckedMessage& message) {
  if (offers_requested_) return Violation(message.row().name, "requests", 2, "once a connection");
  offers_requested_ = true;
  for (ServerChannel* channel : OfferOrder()) {
    if (channel->IsReservedOpen() || MayOffer(*channel)) SendOffer(*channel);
  }
  Send(AllOffersDeliveredMessage{});
  return absl::OkStatus();
}

std::vector<ServerChannel*> VmbusServer::OfferOrder() {
  // A sub-channel's offer overtakes nothing.
  std::vector<ServerChannel*> order;
  std::vector<ServerChannel*> subchannels;
  for (auto& [id, channel] : channels_.all()) {
    (channel.offer.subchannel_index == 0 ? order : subchannels).push_back(&channel);
  }
  Random random(options_.offer_shuffle_seed);
  for (std::vector<ServerChannel*>* part : {&order, &subchannels}) {
    std::sort(part->begin(), part->end(), [](const ServerChannel* a, const ServerChannel* b) {
      return std::pair(a->offer.class_id, a->id) < std::pair(b->offer.class_id, b->id);
    });
    if (options_.offer_shuffle_seed == 0) continue;
    for (size_t i = part->size(); i > 1; --i) std::swap((*part)[i - 1], (*part)[random.Below(i)]);
  }
  order.insert(order.end(), subchannels.begin(), subchannels.end());
  return order;
}

bool VmbusServer::IsPrimaryOffered(const ServerChannel& channel) const {
  if (channel.offer.subchannel_index == 0) return true;
  for (const auto& [id, other] : channels_.all()) {
    if (other.offer.subchannel_index == 0 && !other.IsRevoked() && other.relid != 0 &&
        other.offer.instance_id == channel.offer.instance_id &&
        other.offer.class_id == channel.offer.class_id) {
      return true;
    }
  }
  return false;
}

bool VmbusServer::MayOffer(const ServerChannel& channel) const {
  return state_ == State::kConnected && offers_requested_ &&
         channel.state == ChannelState::kClientReleased && !channel.withheld &&
         channel.predecessor == nullptr && IsPrimaryOffered(channel);
}

void VmbusServer::SendOffer(ServerChannel& channel) {
  const bool monitored = channel.offer.monitored && connection_.child_to_parent != 0;
  if (channel.relid == 0 && !channels_.AssignNumbers(channel, monitored)) {
    errors_.Add(
        absl::ResourceExhaustedError(absl::StrCat(Describe(channel.offer), ": no relid is free")));
    return;
  }
  if (channel.state == ChannelState::kClientReleased) channel.state = ChannelState::kClosed;
  const bool has_monitor = channel.monitor_id != kNoMonitor;
  ++counters_.offers;
  Send(OfferChannelMessage{.class_id = channel.offer.class_id,
                           .instance_id = channel.offer.instance_id,
                           .flags = MaskOfferFlags(channel.offer.flags, negotiated_),
                           .mmio_megabytes = channel.offer.mmio_megabytes,
                           .user_defined = channel.offer.user_defined,
                           .subchannel_index = channel.offer.subchannel_index,
                           .mmio_megabytes_optional = channel.offer.mmio_megabytes_optional,
                           .relid = channel.relid,
                           .monitor_id = channel.monitor_id,
                           .monitor_allocated = static_cast<uint8_t>(has_monitor ? 1 : 0),
                           .dedicated_interrupt = 1,
                           .connection_id = EventConnectionId(channel.relid, kVmbusSint)});
  if (channel.offer.subchannel_index == 0) OfferWaitingSubchannels(channel);
}

void VmbusServer::OfferWaitingSubchannels(const ServerChannel& primary) {
  for (ChannelId id : Subchannels(primary.id)) {
    ServerChannel* channel = channels_.FindLive(id);
    if (MayOffer(*channel)) SendOffer(*channel);
  }
}

absl::Status VmbusServer::HandleRelidReleased(const CheckedMessage& message) {
  const auto released = message.As<RelidReleasedMessage>();
  const absl::StatusOr<ServerChannel*> found = FindRelid(message, released.relid);
  if (!found.ok()) return found.status();
  ServerChannel& channel = **found;
  if (channel.IsRevoked()) {
    ServerChannel* successor = channel.successor;
    DropGpadls(channel);
    // The device is back: it gets the same numbers, unless it is a sub-channel that has to wait longer.
    if (successor != nullptr && IsPrimaryOffered(*successor)) {
      channels_.AssignNumbers(*successor, /*monitored=*/false);
    }
    channels_.Remove(channel);
    if (successor != nullptr && MayOffer(*successor)) SendOffer(*successor);
    return absl::OkStatus();
  }
  if (channel.state != ChannelState::kClosed && channel.state != ChannelState::kClosing) {
    return StateError(message, channel);
  }
  ReleaseLive(channel);
  return absl::OkStatus();
}

void VmbusServer::ReleaseLive(ServerChannel& channel) {
  channel.withheld = true;
  channel.state = channel.state == ChannelState::kClosing ? ChannelState::kClosingClientRelease
                                                          : ChannelState::kClientReleased;
  DropGpadls(channel);
  channels_.FreeNumbers(channel);
}

absl::Status VmbusServer::Revoke(ChannelId id) {
  const Scope scope(*this);
  ServerChannel* channel = channels_.FindLive(id);
  if (channel == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("channel ", static_cast<uint32_t>(id), ": unknown or revoked already"));
  }
  for (ChannelId sub : Subchannels(id)) RevokeOne(*channels_.FindLive(sub));
  RevokeOne(*channel);
  return absl::OkStatus();
}

void VmbusServer::RevokeOne(ServerChannel& channel) {
  queue_.Drop(channel.id);
  if (channel.retarget_vp.has_value()) AnswerModify(channel, kStatusUnsuccessful);
  channel.retarget_vp.reset();
  channel.next_retarget_vp.reset();
  if (channel.close_answer.has_value()) {
    SendTo(channel.close_answer->target,
           CloseReservedResponseMessage{.relid = channel.close_answer->relid});
    channel.close_answer.reset();
  }
  if (channel.relid == 0 || !offers_requested_) {
    // This connection does not know the channel: nothing is to be said about it.
    for (uint32_t handle : gpadls_.HandlesOf(channel.id)) gpadls_.Remove(channel.id, handle);
    channels_.Remove(channel);
    MaybeFinishDisconnect();
    return;
  }
  RevokeGpadls(channel);
  channel.state = ChannelState::kRevoked;
  channel.open = {};
  channel.reopen.reset();
  ++counters_.rescinds;
  Send(RescindMessage{.relid = channel.relid});
}

void VmbusServer::RevokeGpadls(ServerChannel& channel) {
  for (uint32_t handle : gpadls_.HandlesOf(channel.id)) {
    const GpadlEntry& entry = *gpadls_.Find(channel.id, handle);
    switch (entry.state) {
      case GpadlState::kInProgress:
      case GpadlState::kAccepted:
        continue;  // until the relid is released
      case GpadlState::kOffered:
        AnswerGpadl(channel.relid, handle, kStatusUnsuccessful);
        break;
      case GpadlState::kTearingDown:
        if (!entry.silent) Send(GpadlTorndownMessage{.gpadl = handle});
        break;
      case GpadlState::kOfferedTearingDown:
        break;
    }
    gpadls_.Remove(channel.id, handle);
  }
}

}  // namespace vmbuskit
