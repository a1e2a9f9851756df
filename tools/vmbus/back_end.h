// What the disks of a machine stand on, opened.
//
//   absl::StatusOr<BackEnd> back_end = OpenBackEnd(spec);          // "disk.img", RAM, nothing, an NBD server
//   vsp.Attach({.lun = 0}, back_end->disk, {.read_only = spec.read_only});
//   std::string complaint = back_end->TakeComplaint();             // now and then, for people
//
// Thread safety: plain values; TakeComplaint by one thread. Blocks while files are opened and servers are asked.
// Errors: name the file or the URI and what is wrong with it.
#ifndef VMBUSKIT_TOOLS_VMBUS_BACK_END_H_
#define VMBUSKIT_TOOLS_VMBUS_BACK_END_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "devices/storvsc/host/file_disk.h"
#include "devices/storvsc/host/nbd_disk.h"
#include "framework/interfaces/block_device.h"
#include "framework/observe/inspect.h"
#include "tools/vmbus/machine.h"

namespace vmbuskit {

struct BackEnd {
  std::shared_ptr<BlockDevice> disk;
  std::shared_ptr<FileDisk> file;  // the same, when it is one
  std::shared_ptr<NbdDisk> nbd;    // the same
  std::string source;              // as people wrote it
  bool complained = false;
  bool complained_of_sync = false;

  // "disk.img: No space left on device", once after the file's first error, and once when a sync failed, because no
  // flush succeeds from then on; empty: there is nothing new to say.
  std::string TakeComplaint();
  void Inspect(InspectNode& node) const;
};

absl::StatusOr<BackEnd> OpenBackEnd(const DiskSpec& spec);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_BACK_END_H_
