// Heartbeat, the guest driver: answers every beat of the host with the next sequence number and "healthy".
// Source: protocol 30 section 3. Thread safety: the device's executor.
#ifndef VMBUSKIT_DEVICES_UTIL_HEARTBEAT_HEARTBEAT_H_
#define VMBUSKIT_DEVICES_UTIL_HEARTBEAT_HEARTBEAT_H_

#include "framework/bus/device.h"

namespace vmbuskit {

// The class, to be listed by a product.
const DeviceClass& HeartbeatClass();

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_UTIL_HEARTBEAT_HEARTBEAT_H_
