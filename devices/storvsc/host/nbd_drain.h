// The rest of a connection that broke while writes were under way. Its server may still carry them out, at any time
// later, over what was written since. So it is told that nothing more comes, and no connection of the disk writes until
// it has hung up (NbdWrites::MayWrite).
//
//   NbdDrain drain(writes, socket, silence, executor, Callback::To<&Connection::OnDrained>(this));  // owns the socket
//   ... OnDrained: if (drain.ended()) ...
//
// What this cannot know: a server may hang up before its workers have finished (qemu-nbd does), may have been killed
// with a write half on its way to other storage, or may be cut off: a TCP peer that does not answer for `silence`
// counts as gone; where it had not taken all that was sent, only when the kernel gives it up (about 15 minutes). A disk
// that is opened anew knows nothing of the old one's doubt. NBD has no way to ask.
// Thread safety: the executor's. Lifetime: one that has not ended leaves its socket to the disk's next connection; the
// callback may destroy it. Errors: none; whatever else goes wrong with a socket, it is over.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_NBD_DRAIN_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_NBD_DRAIN_H_

#include <optional>

#include "devices/storvsc/host/nbd_writes.h"
#include "platform/callback.h"
#include "platform/linux/fd_watch.h"
#include "platform/time.h"

namespace vmbuskit {

class LinuxExecutor;

class NbdDrain {
 public:
  // The doubt has begun.
  NbdDrain(NbdWrites& writes, int socket, Duration silence, LinuxExecutor& executor,
           Callback ended);
  ~NbdDrain();
  NbdDrain(const NbdDrain&) = delete;
  NbdDrain& operator=(const NbdDrain&) = delete;

  bool ended() const { return socket_ < 0; }

 private:
  void OnReady();

  NbdWrites& writes_;
  int socket_;
  const Callback ended_;
  std::optional<FdWatch> watch_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_NBD_DRAIN_H_
