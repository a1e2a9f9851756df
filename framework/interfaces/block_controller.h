// A device that carries disks, which come and go while it runs.
//
//   void OnDeviceRunning(const RunningDevice& device) override {            // DeviceObserver
//     if (BlockController* disks = device.device.block_controller()) disks->SetListener(&exports_);
//   }
//
// Thread safety: the device's executor; the disks themselves may be used from everywhere (block_device.h).
// Lifetime: a listener is told of every disk that is there, then of changes, until it is replaced or, after it was told
// that every disk is gone, the device stops. A disk may be kept and used after it is gone: its requests end with kGone.
#ifndef VMBUSKIT_FRAMEWORK_INTERFACES_BLOCK_CONTROLLER_H_
#define VMBUSKIT_FRAMEWORK_INTERFACES_BLOCK_CONTROLLER_H_

#include <compare>
#include <cstdint>
#include <memory>

#include "framework/interfaces/block_device.h"

namespace vmbuskit {

// Where a disk is on its controller.
struct BlockAddress {
  uint8_t path = 0;
  uint8_t target = 0;
  uint8_t lun = 0;
  friend auto operator<=>(const BlockAddress&, const BlockAddress&) = default;
};

class BlockControllerListener {
 public:
  virtual ~BlockControllerListener() = default;
  virtual void OnDiskAdded(const BlockAddress& address, std::shared_ptr<BlockDevice> disk) = 0;
  virtual void OnDiskRemoved(const BlockAddress& address) = 0;
  // BlockDevice::bytes is another one.
  virtual void OnDiskResized(const BlockAddress& address) { (void)address; }
};

class BlockController {
 public:
  virtual ~BlockController() = default;
  // Null: nobody listens any more.
  virtual void SetListener(BlockControllerListener* listener) = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_INTERFACES_BLOCK_CONTROLLER_H_
