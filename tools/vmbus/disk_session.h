// A session whose guest has the disks of a machine: what `vmbus run` and `vmbus bench disk` have in common.
//
//   class RunSession final : public DiskSession { Task<absl::Status> UseDisks() override { ... } };
//   absl::StatusOr<std::unique_ptr<OpenedMachine>> opened = OpenedMachine::Open(machine);
//   RunSession session("vmbus run", **opened, /*json=*/false);    // whose constructor hands these on
//   return session.Run();
//
// UseDisks runs when every disk came up; an error of it, or a disk that does not come up, ends the session.
// Thread safety, lifetime: as Session.
#ifndef VMBUSKIT_TOOLS_VMBUS_DISK_SESSION_H_
#define VMBUSKIT_TOOLS_VMBUS_DISK_SESSION_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/task/cancel.h"
#include "framework/task/spawn.h"
#include "tools/vmbus/back_end.h"
#include "tools/vmbus/control_session.h"
#include "tools/vmbus/machine.h"
#include "tools/vmbus/machine_disks.h"
#include "tools/vmbus/machine_host.h"

namespace vmbuskit {

// A machine with its back ends open. Outlives the session.
class OpenedMachine {
 public:
  static absl::StatusOr<std::unique_ptr<OpenedMachine>> Open(const Machine& machine);
  OpenedMachine(const OpenedMachine&) = delete;
  OpenedMachine& operator=(const OpenedMachine&) = delete;

  // The classes, CPUs and memory that it needs.
  System::Options SystemOptions();

  const Machine machine;
  std::vector<std::vector<BackEnd>> back_ends;
  MachineDisks disks;

 private:
  explicit OpenedMachine(const Machine& the_machine) : machine(the_machine), disks(the_machine) {}
};

class DiskSession : public ControlSession {
 protected:
  DiskSession(const std::string& name, OpenedMachine& opened, bool json);

  virtual Task<absl::Status> UseDisks() = 0;
  // Before the system stops; UseDisks has ended. As OnStopping.
  virtual Task<absl::Status> LetGoOfDisks() = 0;

  OpenedMachine& opened() { return opened_; }
  MachineHost& devices() { return devices_; }
  // Cancelled when the session is about to stop.
  CancelScope& until_stop() { return until_stop_; }

  absl::Status OnStarted() override;
  Task<absl::Status> OnStopping() override;
  // The back ends.
  Task<void> InspectMore(InspectNode& tree) override;
  // Says what went wrong at the back ends.
  void Show(const std::vector<DeviceRow>& rows) override;

 private:
  Task<void> BringUp();
  Task<absl::Status> AwaitDisks();
  void Complain();

  OpenedMachine& opened_;
  MachineHost devices_;
  CancelScope until_stop_;
  std::optional<TaskGroup> work_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_DISK_SESSION_H_
