#include "tools/vmbus/demo.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "devices/storvsc/host/storvsc_host.h"
#include "framework/task/deadline.h"
#include "framework/task/spawn.h"
#include "products/full/full_devices.h"
#include "products/full/full_drivers.h"
#include "products/session.h"
#include "tools/vmbus/class_selection.h"
#include "tools/vmbus/control_session.h"
#include "tools/vmbus/demo_disk.h"
#include "tools/vmbus/plugins.h"

namespace vmbuskit {
namespace {

constexpr char kName[] = "vmbus demo";

class DemoSession final : public ControlSession {
 public:
  // `disk`: null when there is none; `about_disk` says why.
  DemoSession(Options options, bool json, DemoDisk* disk, std::string about_disk)
      : ControlSession(std::move(options), json), disk_(disk), about_disk_(std::move(about_disk)) {}

 private:
  absl::Status OnStarted() override {
    // A run that ends by itself is not there long enough to be asked.
    if (!options().once) ServeControlSocket();
    if (!about_disk_.empty()) Say(about_disk_);
    work_.emplace(system().executor(), "the demo's disk");
    if (disk_ != nullptr) work_->Spawn(VerifyDisk());
    return absl::OkStatus();
  }

  Task<absl::Status> OnStopping() override {
    if (!options().once) until_stop_.Cancel(absl::CancelledError("the session ends"));
    const absl::Status joined = co_await work_->Join(DeadlineIn(system().executor()));
    if (!joined.ok()) co_return joined;
    if (!verified_.empty()) Say(verified_);
    co_return co_await StopControlSocket();
  }

  Task<void> VerifyDisk() {
    absl::StatusOr<std::string> verified = co_await disk_->Verify(system().executor(), until_stop_);
    if (absl::IsCancelled(verified.status())) co_return;
    if (!verified.ok()) co_return End(verified.status());
    verified_ = *std::move(verified);
    // A table that is redrawn in place leaves no room for a line until it is over.
    if (!view().terminal()) Say(std::exchange(verified_, {}));
  }

  void Show(const std::vector<DeviceRow>& rows) override {
    if (!json()) return Session::Show(rows);
    const std::string gist = DeviceGist(rows);
    if (gist == std::exchange(last_gist_, gist)) return;
    PrintText(EncodeDevices(rows) + "\n");
  }

  DemoDisk* const disk_;
  const std::string about_disk_;
  CancelScope until_stop_;
  std::optional<TaskGroup> work_;
  std::string verified_;  // still to be said
  std::string last_gist_;
};

ClassSelection BuiltIn() {
  ClassSelection built_in;
  for (const DeviceClass* one : full_drivers::DriverSetClasses()) built_in.classes.push_back(one);
  for (const VspClass* one : full_devices::HostSetClasses()) built_in.vsp_classes.push_back(one);
  return built_in;
}

int Mistake(const absl::Status& error) {
  PrintError(absl::StrCat(kName, ": ", error.message(), "\n"));
  return kExitUsage;
}

// The storage controller gets the disk that is worth looking at, if it can be made.
std::unique_ptr<DemoDisk> GiveDisk(System::Options& system, std::string& about) {
  const auto storage = std::ranges::find(system.vsp_classes, &StorvscVspClass());
  if (storage == system.vsp_classes.end()) return nullptr;
  absl::StatusOr<std::unique_ptr<DemoDisk>> disk = DemoDisk::Make();
  if (!disk.ok()) {
    about = absl::StrCat("goes on with an empty disk: ", disk.status().message());
    return nullptr;
  }
  system.vsp_classes.erase(storage);
  system.host_devices.push_back((*disk)->HostDevice());
  system.observer = disk->get();
  about = (*disk)->Describe();
  return *std::move(disk);
}

}  // namespace

int RunDemo(const DemoCommand& command) {
  const absl::StatusOr<std::vector<PluginClasses>> plugins = LoadPlugins(command.plugins);
  if (!plugins.ok()) return Mistake(plugins.status());
  const absl::StatusOr<ClassSelection> selection =
      SelectClasses(BuiltIn(), command.classes, *plugins);
  if (!selection.ok()) return Mistake(selection.status());
  System::Options system = {.cpus = command.cpus,
                            .classes = selection->classes,
                            .vsp_classes = selection->vsp_classes,
                            .max_version = command.max_version};
  std::string about_disk;
  const std::unique_ptr<DemoDisk> disk = GiveDisk(system, about_disk);
  DemoSession session({.name = kName,
                       .once = command.once,
                       .timeout = command.timeout,
                       .system = std::move(system)},
                      command.json, disk.get(), about_disk);
  return session.Run();
}

}  // namespace vmbuskit
