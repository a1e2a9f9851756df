// What the bus tells people about a device: one line of its table.
//
//   const std::vector<DeviceInfo> devices = co_await bus.Describe();
//   for (const DeviceInfo& device : devices) Print(device.class_name, ToString(device.state));
//
// Thread safety: plain values.
#ifndef VMBUSKIT_FRAMEWORK_BUS_DEVICE_INFO_H_
#define VMBUSKIT_FRAMEWORK_BUS_DEVICE_INFO_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "framework/base/guid.h"

namespace vmbuskit {

enum class DeviceState {
  kOffered,   // no driver, or waiting for an older device of the same instance to be gone
  kStarting,  // Start runs
  kRunning,
  kStopping,  // PrepareStop, Stop, closing its channels
  kFailed,    // stopped after an error; keeps its relid until the host takes it back; RestartDevice
  kGone,      // taken back by the host, or shut down with the bus
};

constexpr std::string_view ToString(DeviceState state) {
  switch (state) {
    case DeviceState::kOffered:
      return "offered";
    case DeviceState::kStarting:
      return "starting";
    case DeviceState::kRunning:
      return "running";
    case DeviceState::kStopping:
      return "stopping";
    case DeviceState::kFailed:
      return "failed";
    case DeviceState::kGone:
      return "gone";
  }
  return "unknown";
}

struct DeviceInfo {
  std::string class_name;  // of the driver; empty when there is none
  Guid class_id;
  Guid instance_id;
  uint32_t relid = 0;
  DeviceState state = DeviceState::kOffered;
  std::string status;          // why it is in this state; empty when there is nothing to say
  std::string versions;        // negotiated by the driver
  uint32_t channel_count = 0;  // open ones
  uint32_t subchannels_offered = 0;
  std::vector<uint32_t> cpus;  // of the open channels, primary first
  uint64_t packets_in = 0;     // of the open channels
  uint64_t packets_out = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_DEVICE_INFO_H_
