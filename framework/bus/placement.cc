#include "framework/bus/placement.h"

#include <algorithm>

namespace vmbuskit {

Placement::Placement(uint32_t cpu_count)
    : online_(std::max(cpu_count, 1u), true), allocated_(online_.size(), false) {}

uint32_t Placement::Place(DeviceSpeed speed, uint16_t subchannel_index,
                          std::span<const uint32_t> used_by_device) {
  if (speed == DeviceSpeed::kSlow) return 0;
  const uint32_t cpus = online_count();
  uint32_t cpu = TakeNext();
  if (subchannel_index >= cpus) return cpu;
  for (uint32_t tries = 1; tries <= cpus; ++tries) {
    if (std::find(used_by_device.begin(), used_by_device.end(), cpu) == used_by_device.end()) break;
    cpu = TakeNext();
  }
  return cpu;
}

void Placement::SetOnline(uint32_t cpu, bool online) {
  if (cpu != 0 && cpu < online_.size()) online_[cpu] = online;
}

uint32_t Placement::online_count() const {
  return static_cast<uint32_t>(std::count(online_.begin(), online_.end(), true));
}

uint32_t Placement::TakeNext() {
  for (int pass = 0; pass < 2; ++pass) {
    for (uint32_t cpu = 0; cpu < online_.size(); ++cpu) {
      if (!online_[cpu] || allocated_[cpu]) continue;
      allocated_[cpu] = true;
      return cpu;
    }
    std::fill(allocated_.begin(), allocated_.end(), false);
  }
  return 0;
}

}  // namespace vmbuskit
