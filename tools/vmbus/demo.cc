#include "tools/vmbus/demo.h"

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "products/full/full_devices.h"
#include "products/full/full_drivers.h"
#include "products/session.h"
#include "tools/vmbus/class_selection.h"
#include "tools/vmbus/control_server.h"
#include "tools/vmbus/plugins.h"
#include "tools/vmbus/socket_directory.h"

namespace vmbuskit {
namespace {

constexpr char kName[] = "vmbus demo";

// A session that can be asked from outside.
class DemoSession final : public Session, private ControlHandler {
 public:
  DemoSession(Options options, bool json) : Session(std::move(options)), json_(json) {}

 private:
  absl::Status OnStarted() override {
    // A run that ends by itself is not there long enough to be asked.
    if (!options().once) ServeControlSocket();
    return absl::OkStatus();
  }

  Task<absl::Status> OnStopping() override {
    if (directory_.has_value()) directory_->Remove(getpid());
    if (!server_.has_value()) co_return absl::OkStatus();
    co_return co_await server_->Stop();
  }

  void Show(const std::vector<DeviceRow>& rows) override {
    if (!json_) return Session::Show(rows);
    const std::string gist = DeviceGist(rows);
    if (gist == std::exchange(last_gist_, gist)) return;
    PrintText(EncodeDevices(rows) + "\n");
  }

  void Say(std::string_view line) override {
    // Standard output is for a program to read.
    if (json_) return PrintError(absl::StrCat(kName, ": ", std::string(line), "\n"));
    Session::Say(line);
  }

  Task<std::string> Answer(ControlRequest request) override {
    if (request.command == ControlRequest::Command::kList) {
      const std::vector<DeviceInfo> devices = co_await system().Describe();
      co_return EncodeDevices(DeviceRows(devices));
    }
    const InspectNode tree = co_await system().Inspect();
    co_return EncodeTree(tree, request.path);
  }

  // The demo runs on without it: then nobody can ask, and the reason is said.
  void ServeControlSocket() {
    const absl::Status served = TryServeControlSocket();
    if (served.ok()) {
      Say(absl::StrCat("process ", getpid(),
                       "; `vmbus ls` and `vmbus inspect` look inside, Ctrl-C ends it"));
    } else {
      Say(absl::StrCat("cannot be asked by `vmbus ls`: ", served.message()));
    }
  }

  absl::Status TryServeControlSocket() {
    absl::StatusOr<SocketDirectory> directory =
        SocketDirectory::Open(SocketDirectory::DefaultPath());
    if (!directory.ok()) return directory.status();
    (void)directory->FindInstances();  // clears away what dead processes left
    absl::StatusOr<FileDescriptor> listener = directory->Listen(getpid());
    if (!listener.ok()) return listener.status();
    directory_ = *std::move(directory);
    server_.emplace(system().executor(), *std::move(listener), static_cast<ControlHandler&>(*this));
    return server_->Start();
  }

  const bool json_;
  std::string last_gist_;
  std::optional<SocketDirectory> directory_;
  std::optional<ControlServer> server_;
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
