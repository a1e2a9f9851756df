#include "tools/vmbus/control_server.h"

#include <sys/socket.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <string_view>
#include <utility>

#include "framework/task/deadline.h"
#include "tools/vmbus/frame.h"

namespace vmbuskit {

// Reads one request, is given one answer, writes it, ends.
class ControlServer::Connection {
 public:
  Connection(ControlServer& server, uint64_t id, FileDescriptor socket)
      : server_(server),
        id_(id),
        socket_(std::move(socket)),
        watch_(server.executor_, socket_.get(), Callback::To<&Connection::OnReady>(this)),
        deadline_(server.executor_, Callback::To<&Connection::OnDeadline>(this)) {}

  absl::Status Start() {
    deadline_.Arm(DeadlineIn(server_.executor_, server_.connection_deadline_));
    return watch_.Start(FdWatch::kReadable);
  }

  void Respond(std::string_view body) {
    unsent_ = EncodeFrame(body);
    if (!watch_.Start(FdWatch::kWritable).ok()) server_.OnClosed(id_);
  }

 private:
  // Every one of these may end with the connection destroyed, as the last thing it does.
  void OnReady() {
    if (unsent_.empty()) {
      Read();
    } else {
      Write();
    }
  }

  void Read() {
    std::array<char, kRequestBytesMax> bytes;
    const ssize_t count = recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return server_.OnClosed(id_);
    const absl::Status fed = request_.Feed({bytes.data(), static_cast<size_t>(count)});
    if (!fed.ok()) return Respond(EncodeError(fed));
    if (!request_.complete()) return;
    watch_.Stop();
    server_.OnRequest(id_, request_.body());
  }

  void Write() {
    const ssize_t count = send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return server_.OnClosed(id_);
    unsent_.erase(0, static_cast<size_t>(count));
    if (unsent_.empty()) server_.OnClosed(id_);
  }

  void OnDeadline() { server_.OnClosed(id_); }

  ControlServer& server_;
  const uint64_t id_;
  FileDescriptor socket_;
  FdWatch watch_;
  Timer deadline_;
  FrameReader request_{"request", kRequestBytesMax};
  std::string unsent_;
};

ControlServer::ControlServer(LinuxExecutor& executor, FileDescriptor listener,
                             ControlHandler& handler, Duration connection_deadline)
    : executor_(executor),
      listener_(std::move(listener)),
      handler_(handler),
      connection_deadline_(connection_deadline),
      watch_(executor, listener_.get(), Callback::To<&ControlServer::OnConnect>(this)),
      answers_(executor, "answers of the control socket") {}

ControlServer::~ControlServer() { assert(connections_.empty()); }

absl::Status ControlServer::Start() { return watch_.Start(FdWatch::kReadable); }

Task<absl::Status> ControlServer::Stop(Duration patience) {
  watch_.Stop();
  connections_.clear();
  // Answers end by themselves: what they wait for has deadlines. They are not freed from here: one may
  // be running on another executor right now.
  co_return co_await answers_.Join(DeadlineIn(executor_, patience));
}

void ControlServer::OnConnect() {
  FileDescriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket) return;
  const uint64_t id = next_id_++;
  auto connection = std::make_unique<Connection>(*this, id, std::move(socket));
  if (!connection->Start().ok()) return;
  connections_.emplace(id, std::move(connection));
  if (connections_.size() >= kConnectionsMax) watch_.Stop();
}

void ControlServer::OnClosed(uint64_t id) {
  connections_.erase(id);
  if (watch_.interest() == 0) (void)watch_.Start(FdWatch::kReadable);
}

void ControlServer::OnRequest(uint64_t id, const std::string& body) {
  absl::StatusOr<ControlRequest> request = ParseRequest(body);
  if (!request.ok()) return Respond(id, EncodeError(request.status()));
  answers_.Spawn(Serve(id, *std::move(request)));
}

Task<void> ControlServer::Serve(uint64_t id, ControlRequest request) {
  const std::string answer = co_await handler_.Answer(std::move(request));
  Respond(id, answer);
}

void ControlServer::Respond(uint64_t id, const std::string& body) {
  // The client may have gone meanwhile.
  const auto found = connections_.find(id);
  if (found != connections_.end()) found->second->Respond(body);
}

}  // namespace vmbuskit
