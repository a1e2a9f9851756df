// The host's side of synthetic SCSI as a class to be listed: a controller with one RAM disk of 64 MiB at LUN 0.
// Controllers with other disks are made by a function:
//
//   host.AddDevice(StorvscVspClass(), instance_id, [&](VspContext& context) {
//     auto vsp = std::make_unique<Storvsp>(context, StorvspOptions{});
//     (void)vsp->Attach({.lun = 0}, disk);
//     return vsp;
//   });
//
// Thread safety: the host executor.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_STORVSC_HOST_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_STORVSC_HOST_H_

#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

const VspClass& StorvscVspClass();

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_STORVSC_HOST_H_
