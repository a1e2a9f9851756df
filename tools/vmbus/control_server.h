// Answers clients on the control socket: one request and one answer per connection, then it is
// closed.
//
//   ControlServer server(executor, std::move(listener), handler);
//   absl::Status started = server.Start();
//   ...
//   absl::Status stopped = co_await server.Stop();
//
// Thread safety: the executor's. Nothing here blocks. A client may be slow, silent or talk
// nonsense: it has one deadline for everything, at most kConnectionsMax are served at a time (the
// others wait in the kernel's queue), and a request is at most kRequestBytesMax long.
// Lifetime: Stop must have succeeded before the destructor; the handler outlives the server.
#ifndef VMBUSKIT_TOOLS_VMBUS_CONTROL_SERVER_H_
#define VMBUSKIT_TOOLS_VMBUS_CONTROL_SERVER_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "framework/task/deadline.h"
#include "framework/task/spawn.h"
#include "framework/task/task.h"
#include "platform/linux/executor.h"
#include "platform/linux/fd_watch.h"
#include "tools/vmbus/control_messages.h"
#include "tools/vmbus/file_descriptor.h"

namespace vmbuskit {

class ControlHandler {
 public:
  virtual ~ControlHandler() = default;
  // The answer, as JSON. On the server's executor; should end well before the connection's
  // deadline.
  virtual Task<std::string> Answer(ControlRequest request) = 0;
};

class ControlServer {
 public:
  static constexpr size_t kConnectionsMax = 8;
  static constexpr Duration kConnectionDeadline = std::chrono::seconds(5);

  ControlServer(LinuxExecutor& executor, FileDescriptor listener, ControlHandler& handler,
                Duration connection_deadline = kConnectionDeadline);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  absl::Status Start();
  // Closes every connection and waits for answers in the making. DeadlineExceeded: some are not
  // ended, and may be under way on any executor; the server must not be destroyed, but may be stopped
  // again.
  Task<absl::Status> Stop(Duration patience = kDefaultDeadline);

  size_t connections() const { return connections_.size(); }

 private:
  class Connection;

  void OnConnect();
  void OnClosed(uint64_t id);
  void OnRequest(uint64_t id, const std::string& body);
  Task<void> Serve(uint64_t id, ControlRequest request);
  void Respond(uint64_t id, const std::string& body);

  LinuxExecutor& executor_;
  FileDescriptor listener_;
  ControlHandler& handler_;
  const Duration connection_deadline_;
  FdWatch watch_;
  TaskGroup answers_;
  uint64_t next_id_ = 0;
  std::map<uint64_t, std::unique_ptr<Connection>> connections_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_CONTROL_SERVER_H_
