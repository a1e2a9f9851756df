// Echo, the guest driver of the tutorial class (docs/write-a-device-class.md): negotiates, then answers every echo
// with the bytes it came with. Thread safety: the device's executor.
#ifndef VMBUSKIT_DEVICES_ECHO_ECHO_H_
#define VMBUSKIT_DEVICES_ECHO_ECHO_H_

#include "framework/bus/device.h"

namespace vmbuskit {

// The class, to be listed by a product.
const DeviceClass& EchoClass();

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_ECHO_ECHO_H_
