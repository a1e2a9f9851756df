#include "tools/vmbus/control_session.h"

#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"

namespace vmbuskit {

void ControlSession::Say(std::string_view line) {
  if (json_) return PrintError(absl::StrCat(options().name, ": ", ToAbsl(line), "\n"));
  Session::Say(line);
}

void ControlSession::ServeControlSocket() {
  const absl::Status served = TryServeControlSocket();
  if (served.ok()) {
    Say(absl::StrCat("process ", getpid(),
                     "; `vmbus ls` and `vmbus inspect` look inside, Ctrl-C ends it"));
  } else {
    Say(absl::StrCat("cannot be asked by `vmbus ls`: ", served.message()));
  }
}

Task<absl::Status> ControlSession::StopControlSocket() {
  if (directory_.has_value()) directory_->Remove(getpid());
  if (!server_.has_value()) co_return absl::OkStatus();
  co_return co_await server_->Stop();
}

Task<std::string> ControlSession::Answer(ControlRequest request) {
  if (request.command == ControlRequest::Command::kList) {
    const std::vector<DeviceInfo> devices = co_await system().Describe();
    co_return EncodeDevices(DeviceRows(devices));
  }
  InspectNode tree = co_await system().Inspect();
  co_await InspectMore(tree);
  co_return EncodeTree(tree, request.path);
}

absl::Status ControlSession::TryServeControlSocket() {
  absl::StatusOr<SocketDirectory> directory = SocketDirectory::Open(SocketDirectory::DefaultPath());
  if (!directory.ok()) return directory.status();
  (void)directory->FindInstances();  // clears away what dead processes left
  absl::StatusOr<FileDescriptor> listener = directory->Listen(getpid());
  if (!listener.ok()) return listener.status();
  directory_ = *std::move(directory);
  server_.emplace(system().executor(), *std::move(listener), static_cast<ControlHandler&>(*this));
  return server_->Start();
}

}  // namespace vmbuskit
