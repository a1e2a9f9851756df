// The end of a disk's last connection to its NBD server. Nobody would notice any more that the server forgets what it
// has not made stable, so it is flushed first: on a thread of its own, which takes at most `limit`.
//
//   LeaveNbd(std::move(handle), writes, covers, limit);      // at once
//   ... writes->WaitUntilLeft();                             // a new connection, and who destroys the disk
//
// `covers`: how many writes had ended. A flush that fails counts as a loss of what it should have covered (NbdWrites).
// Thread safety: any thread. Lifetime: owns what it is given. Errors: those of the flush, in `writes`.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_NBD_LEAVE_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_NBD_LEAVE_H_

#include <cstdint>
#include <memory>

#include "devices/storvsc/host/nbd_dial.h"
#include "devices/storvsc/host/nbd_writes.h"
#include "platform/time.h"

namespace vmbuskit {

void LeaveNbd(NbdHandle handle, std::shared_ptr<NbdWrites> writes, uint64_t covers, Duration limit);

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_NBD_LEAVE_H_
