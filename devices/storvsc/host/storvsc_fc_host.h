// The host's side of the synthetic Fibre Channel adapter as a class to be listed: one RAM disk of 64 MiB at path 0,
// target 0, LUN 0, and made-up world-wide names. Source: protocol 10 sections 1 and 3.3. Others as in storvsc_host.h,
// with StorvspOptions of kind kFibreChannel.
//
// Thread safety: the host executor.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_STORVSC_FC_HOST_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_STORVSC_FC_HOST_H_

#include "devices/storvsc/protocol.h"
#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

const VspClass& StorvscFcVspClass();
// The world-wide names of its HBA, for a controller of another make (StorvspOptions::wwns).
const storvsc::FcHbaData& StorvscFcNames();

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_STORVSC_FC_HOST_H_
