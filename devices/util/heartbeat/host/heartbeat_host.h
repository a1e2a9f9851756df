// Heartbeat, the host side: beats every two seconds and tells how the guest is.
// Source: protocol 30 sections 3 and 10. Thread safety: the host executor.
#ifndef VMBUSKIT_DEVICES_UTIL_HEARTBEAT_HOST_HEARTBEAT_HOST_H_
#define VMBUSKIT_DEVICES_UTIL_HEARTBEAT_HOST_HEARTBEAT_HOST_H_

#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

// The class, to be listed by a host. Its inspect node says "guest": "unknown", "ok" or "lost", the last after
// three beats in a row without an answer.
const VspClass& HeartbeatVspClass();

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_UTIL_HEARTBEAT_HOST_HEARTBEAT_HOST_H_
