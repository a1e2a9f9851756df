#include "devices/storvsc/host/file_disk.h"

#include <algorithm>
#include <utility>

#include "devices/storvsc/host/file_disk_queue.h"

namespace vmbuskit {

FileDisk::FileDisk(std::unique_ptr<BlockFile> file, const Options& options)
    : file_(std::move(file)), bytes_(file_->bytes() / options.block_bytes * options.block_bytes) {
  info_.block_bytes = options.block_bytes;
  info_.physical_block_bytes = std::max<uint32_t>(options.block_bytes, 4096);
  info_.queue_depth = FileDiskQueue::kSlots;
  info_.read_only = file_->read_only();
  info_.volatile_cache = true;
  info_.force_unit_access = true;
  info_.discard = !file_->read_only();
  info_.write_zeroes = !file_->read_only();
  info_.status = true;
  info_.rotational = file_->rotational();
  info_.discard_granularity = 4096;
  info_.discard_bytes_max = uint64_t{1} << 31;
  info_.write_zeroes_bytes_max = uint64_t{1} << 31;
  info_.id = options.id;
  info_.vendor = "vmbuskit";
  info_.product = "file";
}

std::unique_ptr<BlockQueue> FileDisk::OpenQueue(Executor& executor) {
  absl::StatusOr<std::unique_ptr<FileQueue>> queue = file_->OpenQueue(executor);
  if (!queue.ok()) return nullptr;
  return std::make_unique<FileDiskQueue>(*this, *std::move(queue), executor);
}

void FileDisk::NoteError(int error) {
  int none = 0;
  first_error_.compare_exchange_strong(none, error, std::memory_order_relaxed);
}

}  // namespace vmbuskit
