#include "transports/embedded_host/vsp_host.h"

#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "framework/base/string_view.h"

namespace vmbuskit {

VspHost::VspHost(const VspClass& vsp_class, const Guid& instance_id,
                 const VspHostServices& services)
    : class_(vsp_class),
      instance_id_(instance_id),
      services_(services),
      released_(services.partition.host_executor(), Callback::To<&VspHost::OnReleased>(this)) {}

VspHost::~VspHost() { assert(channels_.empty()); }

absl::Status VspHost::Start() {
  made_by_class_ = true;
  return Start(class_.create);
}

absl::Status VspHost::Start(Factory create) {
  vsp_ = create(*this);
  if (vsp_ == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(ChannelName(0), ": no VSP was made"));
  }
  return Offer(0);
}

absl::Status VspHost::Offer(uint16_t subchannel_index) {
  OfferParameters offer;
  offer.class_id = class_.class_id;
  offer.instance_id = instance_id_;
  offer.flags = class_.offer_flags;
  offer.subchannel_index = subchannel_index;
  offer.mmio_megabytes = class_.mmio_megabytes;
  offer.user_defined = class_.user_defined;
  offer.monitored = class_.monitored;
  const absl::StatusOr<ChannelId> id = services_.server.Offer(offer);
  if (!id.ok()) return id.status();
  if (subchannel_index == 0) primary_ = *id;
  channels_[*id].subchannel_index = subchannel_index;
  services_.routes[*id] = this;
  return absl::OkStatus();
}

bool VspHost::Shutdown(bool by_force) {
  if (channels_.empty()) return true;
  const Inside inside(calls_);
  shutting_down_ = true;
  const bool revoked = RevokeSubchannels(by_force);
  Offered& primary = channels_[primary_];
  CloseOpen(primary);
  if (!by_force && (!revoked || Holds(primary))) return false;
  ForgetGpadls(primary_);
  services_.routes.erase(primary_);
  channels_.clear();
  closing_.clear();
  // The only failure is that the server forgot the channel already.
  (void)services_.server.Revoke(primary_);
  return true;
}

bool VspHost::RevokeSubchannels(bool by_force) {
  bool all = true;
  for (const ChannelId id : services_.server.Subchannels(primary_)) {
    const auto found = channels_.find(id);
    if (found == channels_.end()) continue;
    CloseOpen(found->second);
    if (!by_force && Holds(found->second)) {
      all = false;
      continue;
    }
    ForgetGpadls(id);
    services_.routes.erase(id);
    channels_.erase(found);
    closing_.erase(id);
    (void)services_.server.Revoke(id);
  }
  return all;
}

bool VspHost::Holds(const Offered& offered) const {
  return vsp_ != nullptr && vsp_->HoldsMemory(offered.subchannel_index);
}

void VspHost::ForgetGpadls(ChannelId id) {
  for (const uint32_t handle : services_.server.gpadls().HandlesOf(id)) TearDownGpadl(handle);
}

absl::StatusOr<Mapping> VspHost::MapGpadl(uint32_t handle) {
  for (const auto& [id, offered] : channels_) {
    const std::shared_ptr<const GpadlPages> pages = services_.server.FindGpadl(id, handle);
    if (pages != nullptr) return services_.mapped.Map(guest_memory(), pages->pfns);
  }
  return absl::NotFoundError(
      absl::StrCat(ChannelName(0), ": no GPADL 0x", absl::Hex(handle), " on its channels"));
}

uint32_t VspHost::OfferSubchannels(uint32_t count) {
  uint32_t existing = static_cast<uint32_t>(channels_.size()) - 1;
  for (uint32_t index = existing + 1; index <= count && index <= kRelidMax; ++index) {
    if (!Offer(static_cast<uint16_t>(index)).ok()) break;
    ++existing;
  }
  return existing;
}

std::string VspHost::ChannelName(uint16_t subchannel_index) const {
  return absl::StrCat(ToAbsl(class_.name), " ", instance_id_.ToString(), " channel ",
                      subchannel_index);
}

absl::StatusOr<std::unique_ptr<HostChannel>> VspHost::MakeHostChannel(const OpenRequest& request) {
  return HostChannel::Create(services_.partition, services_.mapped, request,
                             {.name = ChannelName(request.subchannel_index),
                              .sint = services_.server.target().sint,
                              .max_packet_bytes = class_.max_packet_bytes});
}

bool VspHost::OpenChannel(ChannelId id, const OpenRequest& request) {
  if (shutting_down_) return false;
  Offered& offered = channels_.at(id);
  absl::StatusOr<std::unique_ptr<HostChannel>> open = MakeHostChannel(request);
  if (!open.ok()) {
    ++opens_refused_;
    return false;
  }
  HostChannel& channel = **open;
  offered.open = std::move(*open);
  absl::Status status = channel.Connect();
  if (status.ok()) {
    status = vsp_->OnOpen(channel.channel(), {.subchannel_index = request.subchannel_index,
                                              .user_data = request.user_data});
  }
  if (status.ok()) return true;
  ++opens_refused_;
  channel.Disconnect();
  channel.channel().Close(status);
  offered.open.reset();
  return false;
}

void VspHost::CloseOpen(Offered& offered) {
  if (offered.open == nullptr) return;
  offered.open->Disconnect();
  Channel& channel = offered.open->channel();
  channel.Close(absl::CancelledError(absl::StrCat(channel.name(), ": closed")));
  vsp_->OnClose(channel);
  offered.open.reset();
}

bool VspHost::CloseChannel(ChannelId id) {
  // A re-opened primary gets sub-channels only after asking again (protocol 02 section 4.2).
  if (id == primary_) (void)RevokeSubchannels();
  CloseOpen(channels_.at(id));
  if (FinishClose(id)) return true;
  closing_.insert(id);
  return false;
}

bool VspHost::FinishClose(ChannelId id) {
  if (id == primary_ && !RevokeSubchannels()) return false;
  const auto found = channels_.find(id);
  return found == channels_.end() || !Holds(found->second);
}

// Back ends let go of guest memory that they used for closed channels.
void VspHost::OnReleased() {
  const Inside inside(calls_);
  const std::set<ChannelId> closing = closing_;
  for (const ChannelId id : closing) {
    if (!closing_.contains(id) || !FinishClose(id)) continue;
    closing_.erase(id);
    services_.server.OnCloseCompleted(id);
  }
  if (shutting_down_) services_.shut_down.Signal();
}

void VspHost::TearDownGpadl(uint32_t handle) { vsp_->OnGpadlTornDown(handle); }

bool VspHost::Retarget(ChannelId id, uint32_t vp) {
  Offered& offered = channels_.at(id);
  if (offered.open == nullptr || vp >= services_.partition.vp_count()) return false;
  offered.open->Retarget(vp);
  return true;
}

void VspHost::Inspect(InspectNode& node) const {
  node.Set("class", class_.name);
  node.Set("instance", instance_id_.ToString());
  node.Set("opens_refused", opens_refused_);
  node.Set("closing", closing_.size());
  for (const auto& [id, offered] : channels_) {
    InspectNode& child = node.Child(absl::StrCat("channel", offered.subchannel_index));
    child.Set("open", offered.open != nullptr);
    if (offered.open != nullptr) offered.open->Inspect(child);
  }
  vsp_->Inspect(node.Child("vsp"));
}

}  // namespace vmbuskit
