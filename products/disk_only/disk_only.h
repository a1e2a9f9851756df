// The product disk_only without its command line: a guest with storvsc's driver, a host with one controller, and one
// disk behind it, of which the guest reads the first block.
//
//   absl::StatusOr<std::unique_ptr<LinuxBlockFile>> file = LinuxBlockFile::Open("disk.img", {});
//   auto disk = std::make_shared<FileDisk>(*std::move(file), FileDisk::Options{});
//   return RunDiskOnly(std::move(disk), /*once=*/true);
//
// The guest has one virtual processor: its driver, the listener for disks and the read all belong to one executor, and
// nothing needs a lock. Thread safety: the main thread, as Session. Lifetime: `disk` is shared with the controller.
// Errors: the exit code of Session; a block that cannot be read ends the session with 1.
#ifndef VMBUSKIT_PRODUCTS_DISK_ONLY_DISK_ONLY_H_
#define VMBUSKIT_PRODUCTS_DISK_ONLY_DISK_ONLY_H_

#include <memory>

#include "framework/interfaces/block_device.h"

namespace vmbuskit {

// Until Ctrl-C; with `once` until every device has run and the disk was read.
int RunDiskOnly(std::shared_ptr<BlockDevice> disk, bool once);

}  // namespace vmbuskit

#endif  // VMBUSKIT_PRODUCTS_DISK_ONLY_DISK_ONLY_H_
