#include <string>

#include "absl/strings/str_cat.h"
#include "transports/embedded_host/server.h"

namespace vmbuskit {
namespace {

const char* StateName(VmbusServer::State state) {
  switch (state) {
    case VmbusServer::State::kDisconnected:
      return "Disconnected";
    case VmbusServer::State::kConnecting:
      return "Connecting";
    case VmbusServer::State::kConnected:
      return "Connected";
    case VmbusServer::State::kDisconnecting:
      return "Disconnecting";
  }
  return "?";
}

void InspectChannel(const ServerChannel& channel, InspectNode& node) {
  node.Set("class", channel.offer.class_id.ToString());
  node.Set("instance", channel.offer.instance_id.ToString());
  node.Set("subchannel_index", uint32_t{channel.offer.subchannel_index});
  node.Set("state", ChannelStateName(channel.state));
  node.Set("relid", channel.relid);
  if (channel.monitor_id != kNoMonitor) node.Set("monitor_id", uint32_t{channel.monitor_id});
  if (!channel.HoldsRings()) return;
  node.Set("target_vp", channel.open.target_vp);
  node.Set("ring_gpadl", channel.open.ring_gpadl);
  node.Set("connection_id", channel.open.connection_id);
  node.Set("reserved", channel.open.reserved);
}

}  // namespace

void VmbusServer::Inspect(InspectNode& node) const {
  node.Set("state", StateName(state_));
  node.Set("version", VersionText(negotiated_.version));
  node.Set("features", negotiated_.features);
  node.Set("target_vp", connection_.target.vp);
  node.Set("offers_requested", offers_requested_);
  node.Set("paused", paused_);
  node.Set("messages_in", counters_.messages_in);
  node.Set("messages_out", counters_.messages_out);
  node.Set("offers", counters_.offers);
  node.Set("rescinds", counters_.rescinds);
  node.Set("stale_events", counters_.stale_events);

  InspectNode& gpadls = node.Child("gpadls");
  gpadls.Set("count", uint64_t{gpadls_.count()});
  gpadls.Set("bytes", gpadls_.charged_bytes());
  gpadls.Set("bytes_peak", gpadls_.charged_bytes_peak());
  gpadls.Set("bytes_max", gpadls_.limits().bytes_max);
  gpadls.Set("in_progress_pages", gpadls_.in_progress_pages());
  gpadls.Set("refused_over_limit", counters_.gpadls_over_limit);

  InspectNode& channels = node.Child("channels");
  for (const auto& [id, channel] : channels_.all()) {
    InspectChannel(channel, channels.Child(absl::StrCat(static_cast<uint32_t>(id))));
  }
  InspectNode& errors = node.Child("errors");
  errors.Set("count", errors_.count());
  uint64_t number = errors_.count() - errors_.last().size();
  for (const std::string& text : errors_.last()) errors.Set(absl::StrCat(number++), text);
}

}  // namespace vmbuskit
