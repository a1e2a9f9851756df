// Whoever wants to use devices: told when one runs and when it is about to stop.
//
//   class Exports : public DeviceObserver {
//     void OnDeviceRunning(const RunningDevice& device) override { ... attach ... }
//     void OnDeviceStopping(const RunningDevice& device) override { ... detach ... }
//   };
//
// Thread safety: called on the device's executor; devices of different CPUs call at the same time.
// Lifetime: `device` may be used on its executor until OnDeviceStopping returned.
#ifndef VMBUSKIT_FRAMEWORK_BUS_DEVICE_OBSERVER_H_
#define VMBUSKIT_FRAMEWORK_BUS_DEVICE_OBSERVER_H_

#include "framework/bus/device.h"
#include "platform/executor.h"

namespace vmbuskit {

struct RunningDevice {
  Device& device;
  const DeviceClass& device_class;
  const Offer& offer;
  Executor& executor;
};

class DeviceObserver {
 public:
  virtual ~DeviceObserver() = default;
  // After Start succeeded.
  virtual void OnDeviceRunning(const RunningDevice& device) = 0;
  // Before PrepareStop.
  virtual void OnDeviceStopping(const RunningDevice& device) = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_DEVICE_OBSERVER_H_
