// The guest driver of synthetic Fibre Channel host bus adapters, as far as they are like the SCSI controllers, and
// their port names (fc_hba.h). Source: protocol 10 sections 1, 3.2 and 3.3.
//
//   const DeviceClass* const classes[] = {&StorvscFcClass()};
//
// Thread safety: any thread; the class is a constant. Its devices: storvsc_controller.h.
#ifndef VMBUSKIT_DEVICES_STORVSC_STORVSC_FC_H_
#define VMBUSKIT_DEVICES_STORVSC_STORVSC_FC_H_

#include "framework/bus/device.h"

namespace vmbuskit {

const DeviceClass& StorvscFcClass();

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_STORVSC_FC_H_
