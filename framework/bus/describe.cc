// What DeviceChannels and DeviceNode tell about themselves.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"
#include "framework/bus/device_channels.h"
#include "framework/bus/device_node.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {

Task<void> DeviceChannels::Describe(DeviceInfo& info, InspectNode* node) {
  const std::vector<Record> records = records_;
  for (const Record& record : records) {
    if (record->state != DeviceChannel::State::kOpen) continue;
    ++record->users;
    info.cpus.push_back(record->cpu.value_or(0));
    const Channel& channel = *record->channel;
    co_await SwitchTo(channel.executor());
    ++info.channel_count;
    info.packets_in += channel.counters().packets_in;
    info.packets_out += channel.counters().packets_out;
    if (channel.closed() && info.status.empty()) {
      info.status = absl::StrCat("channel ended: ", channel.reason().message());
    }
    if (node != nullptr) {
      InspectNode& child =
          node->Child("channels").Child(std::to_string(record->offer.subchannel_index));
      child.Set("relid", record->offer.relid);
      child.Set("cpu", info.cpus.back());
      channel.Inspect(child);
    }
    co_await SwitchTo(bus());
    Leave(*record);
  }
}

void DeviceNode::DescribeItself(DeviceInfo& info) const {
  if (device_class_ != nullptr) info.class_name = std::string(device_class_->name);
  info.class_id = offer_.class_id;
  info.instance_id = offer_.instance_id;
  info.relid = offer_.relid;
  info.state = state_;
  info.status = status_;
  info.subchannels_offered = channels_.subchannel_count();
}

Task<void> DeviceNode::Describe(DeviceInfo& info, InspectNode* node) {
  DescribeItself(info);
  if (node != nullptr) {
    node->Set("class", info.class_name);
    node->Set("class_id", info.class_id.ToString());
    node->Set("instance_id", info.instance_id.ToString());
    node->Set("relid", info.relid);
    node->Set("state", ToString(info.state));
    node->Set("status", info.status);
    node->Set("subchannels_offered", info.subchannels_offered);
  }
  co_await channels_.Describe(info, node);
  if (instance_ != nullptr) co_await instance_->Describe(info, node);
  if (node != nullptr) node->Set("versions", info.versions);
}

}  // namespace vmbuskit
