// Echo, the host side of the tutorial class: accepts a version, then sends an echo every second and checks what
// comes back. Thread safety: the host executor.
#ifndef VMBUSKIT_DEVICES_ECHO_HOST_ECHO_HOST_H_
#define VMBUSKIT_DEVICES_ECHO_HOST_ECHO_HOST_H_

#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

// The class, to be listed by a host. Its inspect node counts echoes sent, answered, wrong and late.
const VspClass& EchoVspClass();

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_ECHO_HOST_ECHO_HOST_H_
