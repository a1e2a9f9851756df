// Save and restore of one device.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/saved_state.h"
#include "framework/base/status.h"
#include "transports/embedded_host/vsp_host.h"

namespace vmbuskit {

// A channel that the VSP is to go on with, and what the guest opened it with.
struct VspHost::Reopened {
  Offered* offered;
  OpenRequest request;
};

bool VspHost::at_rest() const {
  return calls_ == 0 && std::ranges::all_of(channels_, [](const auto& entry) {
           return entry.second.open == nullptr || entry.second.open->channel().at_rest();
         });
}

absl::Status VspHost::Save(StateWriter& state) {
  state(opens_refused_);
  state(static_cast<uint32_t>(primary_));
  state.Count("channels", channels_.size(), kRelidMax);
  for (auto& [id, offered] : channels_) {
    state(static_cast<uint32_t>(id));
    state(offered.open != nullptr);
    if (offered.open != nullptr) state(*offered.open);
  }
  StateWriter of_vsp;
  VMBUSKIT_RETURN_IF_ERROR(vsp_->Save(of_vsp));
  state.Bytes(std::move(of_vsp).Take());
  return absl::OkStatus();
}

absl::Status VspHost::Drop() {
  const Inside inside(calls_);
  const bool renew = made_by_class_ && !shutting_down_;
  for (auto& [id, offered] : channels_) {
    services_.routes.erase(id);
    if (offered.open == nullptr) continue;
    offered.open->Disconnect();
    offered.open->channel().Vanish();
  }
  // Only now: what it said on one channel because another closes, no saved state would know of.
  for (auto& [id, offered] : channels_) {
    if (renew) break;
    if (offered.open != nullptr && !offered.reopening) vsp_->OnClose(offered.open->channel());
    ForgetGpadls(id);
  }
  if (renew) vsp_.reset();  // before the channels that it knows
  channels_.clear();
  closing_.clear();
  released_.Cancel();
  primary_ = {};
  opens_refused_ = 0;
  if (renew) vsp_ = class_.create(*this);
  if (vsp_ != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(ChannelName(0), ": no VSP was made"));
}

absl::Status VspHost::Restore(StateReader& state) {
  const Inside inside(calls_);
  state(opens_refused_);
  uint32_t primary = 0;
  state(primary);
  const size_t count = state.Count("channels", 0, kRelidMax + 1);
  std::vector<Reopened> reopened;
  for (size_t i = 0; i < count; ++i) {
    VMBUSKIT_RETURN_IF_ERROR(RestoreChannel(state, reopened));
  }
  primary_ = ChannelId{primary};
  const auto found = channels_.find(primary_);
  if (found == channels_.end() || found->second.subchannel_index != 0) {
    state.Fail("primary channel", primary, "none of the device's");
  }
  if (!closing_.empty()) released_.Signal();
  StateReader of_vsp(state.Bytes());
  VMBUSKIT_RETURN_IF_ERROR(state.Finish());
  VMBUSKIT_RETURN_IF_ERROR(vsp_->Restore(of_vsp));
  VMBUSKIT_RETURN_IF_ERROR(of_vsp.Finish());
  for (const Reopened& one : reopened) {
    VMBUSKIT_RETURN_IF_ERROR(vsp_->OnReopen(
        one.offered->open->channel(),
        {.subchannel_index = one.request.subchannel_index, .user_data = one.request.user_data}));
    one.offered->reopening = false;
  }
  return absl::OkStatus();
}

bool VspHost::holds() const {
  return std::ranges::any_of(channels_, [&](const auto& entry) { return Holds(entry.second); });
}

bool VspHost::Adopt(ChannelId id, const ServerChannel& channel) {
  const uint16_t index = channel.offer.subchannel_index;
  if (index == 0) primary_ = id;
  if (primary_ == ChannelId{}) return false;
  channels_[id].subchannel_index = index;
  services_.routes[id] = this;
  if (channel.IsClosing()) closing_.insert(id);
  return true;
}

absl::Status VspHost::RestoreChannel(StateReader& state, std::vector<Reopened>& reopened) {
  uint32_t number = 0;
  bool is_open = false;
  state(number);
  state(is_open);
  const ChannelId id{number};
  const auto& known = services_.server.channels().all();
  const auto found = known.find(id);
  if (found == known.end() || found->second.IsRevoked() ||
      !IsOf(found->second.offer.class_id, found->second.offer.instance_id) ||
      !services_.routes.emplace(id, this).second) {
    state.Fail("channel id", number, "not one channel of this device");
    return state.status();
  }
  Offered& offered = channels_[id];
  offered.subchannel_index = found->second.offer.subchannel_index;
  if (is_open != (found->second.state == ChannelState::kOpen)) {
    state.Fail("channel open", is_open, "the server knows better");
  }
  if (is_open && state.ok()) return Reopen(state, id, offered, reopened);
  // Whoever was to say that it is closed is gone; the VSP of now may hold memory for it just as well.
  if (found->second.IsClosing()) closing_.insert(id);
  return state.status();
}

absl::Status VspHost::Reopen(StateReader& state, ChannelId id, Offered& offered,
                             std::vector<Reopened>& reopened) {
  absl::StatusOr<OpenRequest> request = services_.server.DescribeOpen(id);
  if (!request.ok()) return request.status();
  absl::StatusOr<std::unique_ptr<HostChannel>> open = MakeHostChannel(*request);
  if (!open.ok()) return open.status();
  offered.open = *std::move(open);
  offered.reopening = true;
  VMBUSKIT_RETURN_IF_ERROR(offered.open->Connect());
  state(*offered.open);
  reopened.push_back({&offered, *std::move(request)});
  return state.status();
}

}  // namespace vmbuskit
