#include "tools/vmbus/demo.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "products/full/full_devices.h"
#include "products/full/full_drivers.h"
#include "products/session.h"
#include "tools/vmbus/class_selection.h"
#include "tools/vmbus/control_session.h"
#include "tools/vmbus/plugins.h"

namespace vmbuskit {
namespace {

constexpr char kName[] = "vmbus demo";

class DemoSession final : public ControlSession {
 public:
  DemoSession(Options options, bool json) : ControlSession(std::move(options), json) {}

 private:
  absl::Status OnStarted() override {
    // A run that ends by itself is not there long enough to be asked.
    if (!options().once) ServeControlSocket();
    return absl::OkStatus();
  }

  Task<absl::Status> OnStopping() override { co_return co_await StopControlSocket(); }

  void Show(const std::vector<DeviceRow>& rows) override {
    if (!json()) return Session::Show(rows);
    const std::string gist = DeviceGist(rows);
    if (gist == std::exchange(last_gist_, gist)) return;
    PrintText(EncodeDevices(rows) + "\n");
  }

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

}  // namespace

int RunDemo(const DemoCommand& command) {
  const absl::StatusOr<std::vector<PluginClasses>> plugins = LoadPlugins(command.plugins);
  if (!plugins.ok()) return Mistake(plugins.status());
  const absl::StatusOr<ClassSelection> selection =
      SelectClasses(BuiltIn(), command.classes, *plugins);
  if (!selection.ok()) return Mistake(selection.status());
  DemoSession session({.name = kName,
                       .once = command.once,
                       .timeout = command.timeout,
                       .system = {.cpus = command.cpus,
                                  .classes = selection->classes,
                                  .vsp_classes = selection->vsp_classes,
                                  .max_version = command.max_version}},
                      command.json);
  return session.Run();
}

}  // namespace vmbuskit
