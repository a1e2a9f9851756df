// The bus as people see it.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"
#include "framework/bus/bus.h"

namespace vmbuskit {

Task<std::vector<DeviceInfo>> Bus::Describe() {
  const std::vector<Node> nodes = nodes_;  // devices come and go meanwhile
  std::vector<DeviceInfo> infos(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) co_await nodes[i]->Describe(infos[i], nullptr);
  infos.insert(infos.end(), gone_.begin(), gone_.end());
  co_return infos;
}

Task<void> Bus::Inspect(InspectNode& node) {
  static constexpr std::string_view kStates[] = {"stopped", "starting", "running", "lost",
                                                 "stopping"};
  node.Set("state", kStates[static_cast<size_t>(state_)]);
  if (!lost_.ok()) node.Set("lost", ToStd(lost_.message()));
  const uint32_t version = transport_.version();
  node.Set("version", absl::StrCat(version >> 16, ".", version & 0xffff));
  node.Set("device_count", device_count());
  node.Set("devices_max", options_.devices_max);
  node.Set("offers", offers_);
  node.Set("offers_refused", offers_refused_);
  if (!last_refusal_.ok()) node.Set("last_refusal", ToStd(last_refusal_.message()));
  node.Set("rescinds", rescinds_);
  node.Set("early_subchannels", static_cast<uint64_t>(early_subchannels_.size()));
  node.Set("cpus_online", placement_.online_count());
  node.Set("capturing", capture_ != nullptr);
  const std::vector<Node> nodes = nodes_;
  for (const Node& device : nodes) {
    InspectNode& child = node.Child("devices").Child(device->name());
    DeviceInfo info;
    co_await device->Describe(info, &child);
  }
}

}  // namespace vmbuskit
