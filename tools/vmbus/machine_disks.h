// The disks of a machine as its guest has them: each one found on its controller, and kept while the controller or the
// disk is away.
//
//   MachineDisks disks(machine);                                  // System::Options::observer
//   ... until disks.Missing().empty() ...
//   std::shared_ptr<BlockDevice> disk = disks.Find(0, 1);         // of controller 0, disk 1
//
// Thread safety: any thread; devices come up on several executors. Lifetime: outlives the system.
#ifndef VMBUSKIT_TOOLS_VMBUS_MACHINE_DISKS_H_
#define VMBUSKIT_TOOLS_VMBUS_MACHINE_DISKS_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "framework/bus/device_observer.h"
#include "framework/interfaces/block_controller.h"
#include "framework/interfaces/persistent_block_device.h"
#include "tools/vmbus/machine.h"

namespace vmbuskit {

class MachineDisks final : public DeviceObserver {
 public:
  explicit MachineDisks(const Machine& machine);
  ~MachineDisks() override;

  // Which disk has not come up yet, for people: "disk1 (data.img)"; empty: all did.
  std::string Missing() const;
  // Null before it came up.
  std::shared_ptr<BlockDevice> Find(size_t controller, size_t disk) const;
  // What went wrong since the last call, a line each.
  std::vector<std::string> TakeComplaints();

  void OnDeviceRunning(const RunningDevice& device) override;
  void OnDeviceStopping(const RunningDevice& device) override { (void)device; }

 private:
  class Controller;

  mutable std::mutex mutex_;  // over what the controllers know
  std::vector<std::string> complaints_;
  std::vector<std::unique_ptr<Controller>> controllers_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_MACHINE_DISKS_H_
