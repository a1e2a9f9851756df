// A session that can be asked from outside: `vmbus ls` and `vmbus inspect` find it by a control socket.
//
//   class DemoSession final : public ControlSession { ... };
//   absl::Status OnStarted() override { ServeControlSocket(); return absl::OkStatus(); }
//   Task<absl::Status> OnStopping() override { co_return co_await StopControlSocket(); }
//
// Thread safety, lifetime: as Session.
#ifndef VMBUSKIT_TOOLS_VMBUS_CONTROL_SESSION_H_
#define VMBUSKIT_TOOLS_VMBUS_CONTROL_SESSION_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "products/session.h"
#include "tools/vmbus/control_server.h"
#include "tools/vmbus/socket_directory.h"

namespace vmbuskit {

class ControlSession : public Session, private ControlHandler {
 protected:
  ControlSession(Options options, bool json) : Session(std::move(options)), json_(json) {}

  // The session runs on without it: then nobody can ask, and the reason is said.
  void ServeControlSocket();
  Task<absl::Status> StopControlSocket();

  // With JSON, standard output is for a program to read: lines for people go to standard error.
  void Say(std::string_view line) override;
  bool json() const { return json_; }

  // Adds to what `vmbus inspect` shows of guest and host. Not started once StopControlSocket was asked for.
  virtual Task<void> InspectMore(InspectNode& tree) {
    (void)tree;
    co_return;
  }

 private:
  Task<std::string> Answer(ControlRequest request) override;
  absl::Status TryServeControlSocket();

  const bool json_;
  std::optional<SocketDirectory> directory_;
  std::optional<ControlServer> server_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_CONTROL_SESSION_H_
