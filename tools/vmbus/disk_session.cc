#include "tools/vmbus/disk_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/task/deadline.h"
#include "framework/task/sleep.h"
#include "framework/task/switch_to.h"
#include "platform/linux/affinity.h"
#include "tools/vmbus/memory_plan.h"

namespace vmbuskit {
namespace {

constexpr Duration kDisksLimit = std::chrono::seconds(60);
constexpr Duration kLookAgain = std::chrono::milliseconds(5);

}  // namespace

absl::StatusOr<std::unique_ptr<OpenedMachine>> OpenedMachine::Open(const Machine& machine) {
  std::unique_ptr<OpenedMachine> opened(new OpenedMachine(machine));
  for (const ControllerSpec& controller : machine.controllers) {
    std::vector<BackEnd>& disks = opened->back_ends.emplace_back();
    for (const DiskSpec& disk : controller.disks) {
      absl::StatusOr<BackEnd> back_end = OpenBackEnd(disk);
      if (!back_end.ok()) return back_end.status();
      disks.push_back(*std::move(back_end));
    }
  }
  return opened;
}

System::Options OpenedMachine::SystemOptions() {
  System::Options options;
  options.cpus = machine.cpus;
  options.poll = machine.poll;
  options.observer = &disks;
  options.memory_pages = PlanMemory(machine).memory_bytes / kPageSize;
  for (const ControllerSpec& controller : machine.controllers) {
    const DeviceClass* const driver = &GuestClassOf(controller.kind);
    if (std::ranges::find(options.classes, driver) == options.classes.end()) {
      options.classes.push_back(driver);
    }
  }
  return options;
}

DiskSession::DiskSession(const std::string& name, OpenedMachine& opened, bool json)
    : ControlSession({.name = name,
                      .once = false,
                      .timeout = kDefaultTimeout,
                      .system = opened.SystemOptions()},
                     json),
      opened_(opened),
      devices_(opened.machine, opened.back_ends) {}

absl::Status DiskSession::OnStarted() {
  const size_t vps = system().vp_executors().size();
  const std::string warning = PollingWarning(opened_.machine, vps, AllowedCpus().size());
  if (!warning.empty()) PrintError(absl::StrCat(options().name, ": ", warning, "\n"));
  work_.emplace(system().executor(), "the disks");
  work_->Spawn(BringUp());
  return absl::OkStatus();
}

Task<void> DiskSession::BringUp() {
  co_await SwitchTo(system().host_executor());
  absl::Status status = devices_.OfferAll(system().host());
  co_await SwitchTo(system().executor());
  if (status.ok()) status = co_await AwaitDisks();
  if (status.ok()) status = co_await UseDisks();
  if (!status.ok() && !until_stop_.cancelled()) End(status);
}

Task<absl::Status> DiskSession::AwaitDisks() {
  Executor& executor = system().executor();
  const Instant give_up = executor.Now() + kDisksLimit;
  while (true) {
    const std::string missing = opened_.disks.Missing();
    if (missing.empty()) co_return absl::OkStatus();
    if (executor.Now() >= give_up) {
      co_return absl::DeadlineExceededError(absl::StrCat(missing, " did not come up within ",
                                                         FormatDuration(kDisksLimit),
                                                         "; `vmbus ls` says more"));
    }
    const Instant next = executor.Now() + kLookAgain;
    const absl::Status slept = co_await SleepUntilCancelled(executor, next, until_stop_);
    if (!slept.ok()) co_return slept;
  }
}

Task<absl::Status> DiskSession::OnStopping() {
  until_stop_.Cancel(absl::CancelledError("the session ends"));
  const absl::Status joined = co_await work_->Join(DeadlineIn(system().executor()));
  if (!joined.ok()) co_return joined;
  const absl::Status let_go = co_await LetGoOfDisks();
  if (!let_go.ok()) co_return let_go;
  Complain();
  co_return co_await StopControlSocket();
}

Task<void> DiskSession::InspectMore(InspectNode& tree) {
  for (size_t c = 0; c < opened_.back_ends.size(); ++c) {
    for (size_t d = 0; d < opened_.back_ends[c].size(); ++d) {
      const DiskSpec& spec = opened_.machine.controllers[c].disks[d];
      const std::string name = spec.export_name.value_or(absl::StrCat(c, ":", d));
      opened_.back_ends[c][d].Inspect(tree.Child("back_ends").Child(name));
    }
  }
  co_return;
}

void DiskSession::Show(const std::vector<DeviceRow>& rows) {
  (void)rows;
  Complain();
}

void DiskSession::Complain() {
  for (std::vector<BackEnd>& disks : opened_.back_ends) {
    for (BackEnd& back_end : disks) {
      const std::string complaint = back_end.TakeComplaint();
      if (!complaint.empty()) PrintError(absl::StrCat(options().name, ": ", complaint, "\n"));
    }
  }
  for (const std::string& complaint : opened_.disks.TakeComplaints()) {
    PrintError(absl::StrCat(options().name, ": ", complaint, "\n"));
  }
}

}  // namespace vmbuskit
