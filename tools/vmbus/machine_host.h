// The host's side of a machine: its controllers with their disks, offered to the guest, and taken away and given back
// as long as it runs.
//
//   MachineHost devices(machine, back_ends);               // back_ends[controller][disk]
//   absl::Status offered = devices.OfferAll(system.host());
//   devices.Rescind(0), devices.Offer(0);                  // the guest loses the controller, and gets it again
//   devices.Detach(0, 1), devices.Attach(0, 1);            // a disk of it
//
// Thread safety: the host executor, but for what is constant. Lifetime: longer than the host's devices.
// Errors: those of EmbeddedHost::AddDevice and Storvsp; FailedPrecondition for a controller that is not on offer.
#ifndef VMBUSKIT_TOOLS_VMBUS_MACHINE_HOST_H_
#define VMBUSKIT_TOOLS_VMBUS_MACHINE_HOST_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "devices/storvsc/host/storvsp.h"
#include "framework/base/guid.h"
#include "framework/bus/device.h"
#include "framework/interfaces/block_controller.h"
#include "tools/vmbus/back_end.h"
#include "tools/vmbus/machine.h"
#include "transports/embedded_host/embedded_host.h"

namespace vmbuskit {

// The driver that the guest needs for a controller.
const DeviceClass& GuestClassOf(ControllerSpec::Kind kind);
// The instance of the machine's controller number `index`.
Guid ControllerInstance(ControllerSpec::Kind kind, size_t index);
BlockAddress AddressOf(const DiskSpec& disk);

class MachineHost {
 public:
  // Both outlive it.
  MachineHost(const Machine& machine, const std::vector<std::vector<BackEnd>>& back_ends);
  MachineHost(const MachineHost&) = delete;
  MachineHost& operator=(const MachineHost&) = delete;

  absl::Status OfferAll(EmbeddedHost& host);
  absl::Status Rescind(size_t controller);
  absl::Status Offer(size_t controller);
  absl::Status Detach(size_t controller, size_t disk);
  absl::Status Attach(size_t controller, size_t disk);
  bool offered(size_t controller) const { return controllers_[controller].id.has_value(); }

 private:
  struct Controller {
    std::optional<DeviceId> id;
    Storvsp* vsp = nullptr;
    std::vector<bool> attached;
  };

  std::unique_ptr<Vsp> Make(size_t controller, VspContext& context, absl::Status& status);
  absl::Status AttachTo(Storvsp& vsp, size_t controller, size_t disk);

  const Machine& machine_;
  const std::vector<std::vector<BackEnd>>& back_ends_;
  EmbeddedHost* host_ = nullptr;
  std::vector<Controller> controllers_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_MACHINE_HOST_H_
