// Where the channels send their interrupts, and what may be changed about it while they run.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "framework/bus/bus.h"

namespace vmbuskit {
namespace {

struct BoundChannel {
  std::shared_ptr<DeviceNode> node;
  DeviceChannels::Record record;
};

std::vector<BoundChannel> ChannelsOn(const std::vector<std::shared_ptr<DeviceNode>>& nodes,
                                     uint32_t cpu) {
  std::vector<BoundChannel> bound;
  for (const std::shared_ptr<DeviceNode>& node : nodes) {
    for (const DeviceChannels::Record& record : node->channels().records()) {
      if (record->state != DeviceChannel::State::kOffered && record->cpu == cpu) {
        bound.push_back({node, record});
      }
    }
  }
  return bound;
}

}  // namespace

absl::Status Bus::CheckCpu(uint32_t cpu) const {
  if (cpu < placement_.cpu_count()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("there is no CPU ", cpu, ", the last one is ", placement_.cpu_count() - 1));
}

Task<absl::Status> Bus::Retarget(Guid instance_id, uint16_t index, uint32_t cpu) {
  absl::StatusOr<Node> node = FindDevice(instance_id);
  if (!node.ok()) co_return node.status();
  if (absl::Status status = CheckCpu(cpu); !status.ok()) co_return status;
  if (!placement_.online(cpu)) {
    co_return absl::FailedPreconditionError(absl::StrCat("CPU ", cpu, " is offline"));
  }
  DeviceChannels::Record record = (*node)->channels().Find(index);
  if (record == nullptr) {
    co_return absl::NotFoundError(absl::StrCat((*node)->name(), " has no channel ", index));
  }
  absl::Status status = co_await (*node)->channels().Retarget(record, cpu);
  co_return status;
}

absl::Status Bus::SetCpuOffline(uint32_t cpu) {
  if (absl::Status status = CheckCpu(cpu); !status.ok()) return status;
  if (cpu == 0) {
    return absl::FailedPreconditionError(
        "CPU 0 takes the messages of the bus and cannot go offline");
  }
  std::string names;
  for (const BoundChannel& bound : ChannelsOn(nodes_, cpu)) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", bound.node->name(), " channel ",
                    bound.record->offer.subchannel_index);
  }
  if (!names.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("CPU ", cpu, " cannot go offline, channels are bound to it: ", names));
  }
  placement_.SetOnline(cpu, false);
  return absl::OkStatus();
}

absl::Status Bus::SetCpuOnline(uint32_t cpu) {
  if (absl::Status status = CheckCpu(cpu); !status.ok()) return status;
  placement_.SetOnline(cpu, true);
  return absl::OkStatus();
}

Task<absl::Status> Bus::MoveChannelsAway(uint32_t cpu) {
  if (absl::Status status = CheckCpu(cpu); !status.ok()) co_return status;
  if (placement_.online_count() == 1) {
    co_return absl::FailedPreconditionError(
        absl::StrCat("CPU ", cpu, " is the only one that is online"));
  }
  absl::Status first;
  const std::vector<BoundChannel> channels = ChannelsOn(nodes_, cpu);
  for (const BoundChannel& bound : channels) {
    std::vector<uint32_t> used = {cpu};
    for (const DeviceChannels::Record& other : bound.node->channels().records()) {
      if (other->cpu.has_value()) used.push_back(*other->cpu);
    }
    uint32_t target = placement_.Place(DeviceSpeed::kFast, 0, used);
    // All others serve this device already: any of them.
    if (target == cpu) target = placement_.Place(DeviceSpeed::kFast, 0, {&cpu, 1});
    absl::Status moved = co_await bound.node->channels().Retarget(bound.record, target);
    first.Update(moved);
  }
  co_return first;
}

}  // namespace vmbuskit
