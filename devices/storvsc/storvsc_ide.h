// The guest driver of the IDE accelerator: one disk for each channel, whose target the instance GUID names, and no
// sub-channels. Source: protocol 10 section 1.
//
//   const DeviceClass* const classes[] = {&StorvscIdeClass()};
//
// Thread safety: any thread; the class is a constant. Its devices: storvsc_controller.h.
#ifndef VMBUSKIT_DEVICES_STORVSC_STORVSC_IDE_H_
#define VMBUSKIT_DEVICES_STORVSC_STORVSC_IDE_H_

#include "framework/bus/device.h"

namespace vmbuskit {

const DeviceClass& StorvscIdeClass();

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_STORVSC_IDE_H_
