// The host's side of the IDE accelerator as a class to be listed: one RAM disk of 64 MiB as IDE channel 0, device 0.
// Source: protocol 10 section 1. Controllers with other disks as in storvsc_host.h, with StorvspOptions of kind kIde.
//
// Thread safety: the host executor.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_STORVSC_IDE_HOST_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_STORVSC_IDE_HOST_H_

#include <cstdint>

#include "framework/base/guid.h"
#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

const VspClass& StorvscIdeVspClass();

// The instance of an IDE position: channel 0 or 1, device 0 or 1.
Guid StorvscIdeInstance(uint8_t channel, uint8_t device);

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_STORVSC_IDE_HOST_H_
