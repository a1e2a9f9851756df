// Echo, the guest driver of docs/write-a-device-class.md. Thread safety: the device's executor.
#ifndef VMBUSKIT_DEVICES_ECHO_ECHO_H_
#define VMBUSKIT_DEVICES_ECHO_ECHO_H_

#include "framework/bus/device.h"

namespace vmbuskit {
const DeviceClass& EchoClass();  // to be listed by a product
}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_ECHO_ECHO_H_
