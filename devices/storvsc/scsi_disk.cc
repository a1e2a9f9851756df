#include "devices/storvsc/scsi_disk.h"

#include <utility>

#include "absl/status/status.h"
#include "devices/storvsc/scsi_queue.h"

namespace vmbuskit {

ScsiDisk::ScsiDisk(Options options) : options_(std::move(options)), bytes_(options_.bytes) {}

std::unique_ptr<BlockQueue> ScsiDisk::OpenQueue(Executor& executor) {
  return std::make_unique<ScsiQueue>(shared_from_this(), executor);
}

absl::StatusOr<BlockBuffer> ScsiDisk::AllocateBuffer(size_t bytes) {
  if (retired()) return absl::FailedPreconditionError("the disk is gone");
  return BlockBuffer::OfGuest(*options_.memory, *options_.pages, bytes);
}

}  // namespace vmbuskit
