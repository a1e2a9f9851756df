// The guest driver of synthetic SCSI controllers: many disks, sub-channels, hot plug. Disks come through
// Device::block_controller (framework/interfaces/block_controller.h). Source: protocol 10.
//
//   const DeviceClass* const classes[] = {&StorvscClass()};
#ifndef VMBUSKIT_DEVICES_STORVSC_STORVSC_H_
#define VMBUSKIT_DEVICES_STORVSC_STORVSC_H_

#include "devices/storvsc/storvsc_controller.h"
#include "framework/bus/device.h"

namespace vmbuskit {

// What all classes of controllers share: ring sizes and the like. 124 KiB of data is what Linux has (section 8).
constexpr DeviceClass StorvscClassTemplate() {
  DeviceClass device_class;
  device_class.speed = DeviceSpeed::kFast;
  device_class.send_ring_bytes = 124 * 1024;
  device_class.receive_ring_bytes = 60 * 1024;
  device_class.max_requests = 512;
  return device_class;
}

const DeviceClass& StorvscClass();

// The controller that a device of one of these classes is: for StorvscController::Execute.
StorvscController& StorvscControllerOf(Device& device);

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_STORVSC_H_
