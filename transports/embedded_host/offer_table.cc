#include "transports/embedded_host/offer_table.h"

#include <utility>

namespace vmbuskit {

std::string_view ChannelStateName(ChannelState state) {
  switch (state) {
    case ChannelState::kClientReleased:
      return "ClientReleased";
    case ChannelState::kClosed:
      return "Closed";
    case ChannelState::kOpening:
      return "Opening";
    case ChannelState::kOpen:
      return "Open";
    case ChannelState::kClosing:
      return "Closing";
    case ChannelState::kClosingReopen:
      return "ClosingReopen";
    case ChannelState::kOpeningClientRelease:
      return "OpeningClientRelease";
    case ChannelState::kClosingClientRelease:
      return "ClosingClientRelease";
    case ChannelState::kRevoked:
      return "Revoked";
    case ChannelState::kReoffered:
      return "Reoffered";
  }
  return "?";
}

ServerChannel& OfferTable::Add(const OfferParameters& offer) {
  // Bounded: fewer ids are in use than there are numbers.
  while (next_id_ == 0 || channels_.contains(ChannelId{next_id_})) ++next_id_;
  const ChannelId id{next_id_++};
  ServerChannel& channel = channels_[id];
  channel.id = id;
  channel.offer = offer;
  return channel;
}

void OfferTable::Remove(ServerChannel& channel) {
  FreeNumbers(channel);
  if (channel.successor != nullptr) Unlink(channel, *channel.successor);
  if (channel.predecessor != nullptr) Unlink(*channel.predecessor, channel);
  channels_.erase(channel.id);
}

ServerChannel* OfferTable::FindLive(ChannelId id) {
  const auto it = channels_.find(id);
  return it == channels_.end() || it->second.IsRevoked() ? nullptr : &it->second;
}

ServerChannel* OfferTable::FindLive(const Guid& class_id, const Guid& instance_id, uint16_t index) {
  for (auto& [id, channel] : channels_) {
    if (!channel.IsRevoked() && channel.offer.subchannel_index == index &&
        channel.offer.instance_id == instance_id && channel.offer.class_id == class_id) {
      return &channel;
    }
  }
  return nullptr;
}

ServerChannel* OfferTable::FindRevoked(const Guid& class_id, const Guid& instance_id,
                                       uint16_t index) {
  for (auto& [id, channel] : channels_) {
    if (channel.IsRevoked() && channel.offer.subchannel_index == index &&
        channel.offer.instance_id == instance_id && channel.offer.class_id == class_id) {
      return &channel;
    }
  }
  return nullptr;
}

ServerChannel* OfferTable::FindRelid(uint32_t relid) {
  return relid <= kRelidMax ? by_relid_[relid] : nullptr;
}

const ServerChannel* OfferTable::FindConnectionId(uint32_t connection_id,
                                                  const ServerChannel* except) const {
  for (const auto& [id, channel] : channels_) {
    if (&channel != except && channel.HoldsRings() && channel.open.connection_id == connection_id)
      return &channel;
  }
  return nullptr;
}

bool OfferTable::AssignNumbers(ServerChannel& channel, bool monitored) {
  if (channel.predecessor != nullptr) {
    ServerChannel& old = *channel.predecessor;
    channel.relid = std::exchange(old.relid, 0);
    channel.monitor_id = std::exchange(old.monitor_id, kNoMonitor);
    by_relid_[channel.relid] = &channel;
    return true;
  }
  uint32_t relid = kRelidMin;
  while (relid <= kRelidMax && by_relid_[relid] != nullptr) ++relid;
  if (relid > kRelidMax) return false;
  channel.relid = relid;
  by_relid_[relid] = &channel;
  for (uint32_t monitor = 0; monitored && monitor < kMonitorCount; ++monitor) {
    if (monitors_[monitor]) continue;
    monitors_[monitor] = true;
    channel.monitor_id = static_cast<uint8_t>(monitor);
    break;
  }
  return true;
}

void OfferTable::FreeNumbers(ServerChannel& channel) {
  if (channel.relid != 0) by_relid_[std::exchange(channel.relid, 0)] = nullptr;
  if (channel.monitor_id != kNoMonitor) {
    monitors_[std::exchange(channel.monitor_id, kNoMonitor)] = false;
  }
}

void OfferTable::Link(ServerChannel& predecessor, ServerChannel& successor) {
  predecessor.successor = &successor;
  successor.predecessor = &predecessor;
  predecessor.state = ChannelState::kReoffered;
  ++successors_;
}

void OfferTable::Unlink(ServerChannel& predecessor, ServerChannel& successor) {
  predecessor.successor = nullptr;
  successor.predecessor = nullptr;
  predecessor.state = ChannelState::kRevoked;
  --successors_;
}

}  // namespace vmbuskit
