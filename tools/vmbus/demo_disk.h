// The disk of `vmbus demo`: an image with a file system that another program made, given to the guest, read back
// through its driver, and checked.
//
//   absl::StatusOr<std::unique_ptr<DemoDisk>> disk = DemoDisk::Make();
//   options.host_devices.push_back((*disk)->HostDevice());
//   options.observer = disk->get();
//   absl::StatusOr<std::string> found = co_await (*disk)->Verify(executor, until_stop);
//
// Nothing of it stays in the file system: the image loses its name as soon as it is open.
// Thread safety: Verify on `executor`; told of disks on those of devices. Lifetime: outlives the system.
// Errors: of Make: NotFound without mke2fs, else what failed. Of Verify: DataLoss when bytes differ or e2fsck finds
// something, DeadlineExceeded without a disk, Cancelled.
#ifndef VMBUSKIT_TOOLS_VMBUS_DEMO_DISK_H_
#define VMBUSKIT_TOOLS_VMBUS_DEMO_DISK_H_

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "framework/bus/device_observer.h"
#include "framework/interfaces/block_controller.h"
#include "framework/task/cancel.h"
#include "framework/task/task.h"
#include "products/system.h"

namespace vmbuskit {

class DemoDisk final : public DeviceObserver, public BlockControllerListener {
 public:
  // Takes the time of making a file system of a few MiB.
  static absl::StatusOr<std::unique_ptr<DemoDisk>> Make();

  // What it is, for people.
  std::string Describe() const;
  // The controller that has it.
  System::HostDevice HostDevice() const;
  // Reads all of it through the guest; a line for people.
  Task<absl::StatusOr<std::string>> Verify(Executor& executor, CancelScope& until_stop);

  void OnDeviceRunning(const RunningDevice& device) override;
  void OnDeviceStopping(const RunningDevice& device) override { (void)device; }
  void OnDiskAdded(const BlockAddress& address, std::shared_ptr<BlockDevice> disk) override;
  void OnDiskRemoved(const BlockAddress& address) override;

 private:
  DemoDisk(std::shared_ptr<BlockDevice> image, std::string bytes)
      : image_(std::move(image)), bytes_(std::move(bytes)) {}

  std::shared_ptr<BlockDevice> GuestDisk();
  Task<absl::Status> AwaitDisk(Executor& executor, CancelScope& until_stop);
  Task<absl::StatusOr<std::string>> ReadAll(Executor& executor);

  const std::shared_ptr<BlockDevice> image_;  // the host's
  const std::string bytes_;                   // what mke2fs wrote
  std::mutex mutex_;
  std::shared_ptr<BlockDevice> disk_;  // the guest's
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_DEMO_DISK_H_
