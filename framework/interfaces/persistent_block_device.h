// A disk that outlives the device below it: while that is away (rescinded, replaced, its controller restarting)
// requests wait, and those that ended with it are carried out by the next one.
//
//   auto disk = std::make_shared<PersistentBlockDevice>(device, PersistentBlockDevice::Options{});
//   disk->Detach();                       // OnDiskRemoved
//   status = disk->Attach(device_again);  // OnDiskAdded
//
// A request that ended with kGone, or a few times with kAborted, is submitted again, as it was: reads, writes and the
// others may be carried out twice. That is right for one storage that comes back with everything it had answered for,
// which is what a controller that is taken away and offered again shows; Attach refuses another one as far as `id` and
// sizes tell, and one that does less than info() told: requests go on waiting then. What info() only advises about
// (preferred and transfer sizes, queue depth, status, granularity, rotation) may differ.
// Thread safety: Attach, Detach, info and bytes from any thread; queues as in block_device.h.
// Ownership: shares the device; a queue keeps the disk's inside alive. Units: bytes, durations as named.
// Errors: kGone for what waited longer than absence_max, and for what device after device ended with kGone for so
// long; kLost is handed on, because the memory is lost.
#ifndef VMBUSKIT_FRAMEWORK_INTERFACES_PERSISTENT_BLOCK_DEVICE_H_
#define VMBUSKIT_FRAMEWORK_INTERFACES_PERSISTENT_BLOCK_DEVICE_H_

#include <chrono>
#include <memory>

#include "absl/status/status.h"
#include "framework/interfaces/block_device.h"
#include "platform/time.h"

namespace vmbuskit {

class PersistentBlockDevice final : public BlockDevice {
 public:
  struct Options {
    Duration absence_max = std::chrono::seconds(60);
    uint32_t queue_depth = 256;  // of one queue; more waits
  };

  PersistentBlockDevice(std::shared_ptr<BlockDevice> device, const Options& options);
  ~PersistentBlockDevice() override;

  // InvalidArgument names what differs from the first device.
  absl::Status Attach(std::shared_ptr<BlockDevice> device);
  void Detach();

  const BlockInfo& info() const override { return info_; }
  uint64_t bytes() const override;
  std::unique_ptr<BlockQueue> OpenQueue(Executor& executor) override;
  // From the device that is there; while none is, memory of the process.
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override;

 private:
  friend class PersistentBlockQueue;
  struct Shared;
  absl::Status CheckSame(const BlockInfo& other) const;

  const BlockInfo info_;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_INTERFACES_PERSISTENT_BLOCK_DEVICE_H_
