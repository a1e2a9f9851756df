// The queue of a FileDisk: requests as operations on its file, some after one another. For file_disk.cc.
//
//   absl::StatusOr<std::unique_ptr<FileQueue>> operations = file.OpenQueue(executor);
//   auto queue = std::make_unique<FileDiskQueue>(disk, *std::move(operations), executor);
//   queue->Submit(request);                                // block_device.h says the rest
//
// Requests beyond kSlots wait in a list. Where the file wants alignment that a request's memory has not, one request
// at a time goes through a buffer.
// Thread safety: the queue's executor. Lifetime: block_device.h; the disk outlives it. Allocates at construction only.
// Errors: file_disk.h.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_FILE_DISK_QUEUE_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_FILE_DISK_QUEUE_H_

#include <array>
#include <boost/intrusive/list.hpp>
#include <memory>
#include <vector>

#include "devices/storvsc/host/file_disk.h"
#include "devices/storvsc/host/file_syncs.h"
#include "framework/interfaces/block_completions.h"

namespace vmbuskit {

class FileDiskQueue final : public BlockQueue {
 public:
  static constexpr uint32_t kSlots = 128;
  static constexpr size_t kVectors = 128;
  static constexpr size_t kBounceBytes = 256 * 1024;

  FileDiskQueue(FileDisk& disk, std::unique_ptr<FileQueue> queue, Executor& executor);
  ~FileDiskQueue() override;

  void Submit(BlockRequest& request) override;

 private:
  // A request under way: one operation at a time, as many as it takes.
  struct Slot final : FileOperation {
    void OnDone(int error) override { queue->OnOperationDone(*this, error); }

    FileDiskQueue* queue = nullptr;
    BlockRequest* request = nullptr;
    uint64_t done = 0;        // bytes of the request
    uint64_t under_way = 0;   // of the operation
    bool bounced = false;     // through bounce_
    bool by_writing = false;  // zeros: the file system has nothing better
    bool syncing = false;     // everything is written; it is being made stable
    std::array<iovec, kVectors> space;
  };
  void Begin(BlockRequest& request);
  void Step(Slot& slot);
  void StepData(Slot& slot);
  void StepBounced(Slot& slot);
  void StepZeroes(Slot& slot);
  void Launch(Slot& slot, FileOperation::Kind kind, uint64_t bytes);
  void Sync(Slot& slot);
  void OnOperationDone(Slot& slot, int error);
  bool FallsBack(Slot& slot, int error);
  void LeaveBounce();
  void End(Slot& slot, BlockResult result);
  BlockResult FindStatus(BlockRequest& request);
  bool NeedsBounce(const BlockRequest& request) const;

  FileDisk& disk_;
  const std::unique_ptr<FileQueue> queue_;
  FileSyncs::Port syncs_;
  std::vector<Slot> slots_;
  boost::intrusive::list<FileOperation> free_;
  boost::intrusive::list<BlockRequest> waiting_;  // for a slot
  BlockBuffer bounce_;  // for files that want alignment: of one request at a time
  Slot* bounce_owner_ = nullptr;
  boost::intrusive::list<FileOperation> bounce_waiting_;
  BlockCompletions completions_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_FILE_DISK_QUEUE_H_
