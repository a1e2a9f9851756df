#include "devices/storvsc/host/null_disk.h"

#include "devices/storvsc/host/done_list.h"

namespace vmbuskit {
namespace {

class NullQueue final : public BlockQueue {
 public:
  NullQueue(Executor& executor, const BlockInfo& info, uint64_t bytes)
      : info_(info), bytes_(bytes), done_(executor) {}

  void Submit(BlockRequest& request) override {
    const BlockResult result = CheckBlockRequest(request, info_, bytes_);
    if (request.operation == BlockOperation::kStatus && result == BlockResult::kOk) {
      request.extents[0] = {.bytes = request.bytes, .allocated = true, .zero = false};
      request.extent_count = 1;
    }
    done_.Add(request, result);
  }

 private:
  const BlockInfo info_;
  const uint64_t bytes_;
  DoneList done_;
};

}  // namespace

NullDisk::NullDisk(const Options& options) : bytes_(options.bytes) {
  info_.block_bytes = options.block_bytes;
  info_.physical_block_bytes = options.block_bytes;
  info_.force_unit_access = true;
  info_.discard = true;
  info_.write_zeroes = true;
  info_.discard_granularity = options.block_bytes;
  info_.discard_bytes_max = options.bytes;
  info_.write_zeroes_bytes_max = options.bytes;
  info_.vendor = "vmbuskit";
  info_.product = "null disk";
}

std::unique_ptr<BlockQueue> NullDisk::OpenQueue(Executor& executor) {
  return std::make_unique<NullQueue>(executor, info_, bytes_);
}

absl::StatusOr<BlockBuffer> NullDisk::AllocateBuffer(size_t bytes) {
  return BlockBuffer::OfHeap(bytes);
}

}  // namespace vmbuskit
