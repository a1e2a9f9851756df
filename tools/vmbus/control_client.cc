#include "tools/vmbus/control_client.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "framework/base/status.h"
#include "tools/vmbus/frame.h"

namespace vmbuskit {
namespace {

constexpr size_t kReadBytes = 64 * 1024;

absl::Status SetDeadlines(const FileDescriptor& socket) {
  const timeval deadline = {.tv_sec = kAnswerDeadline.count(), .tv_usec = 0};
  for (int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (setsockopt(socket.get(), SOL_SOCKET, option, &deadline, sizeof deadline) != 0) {
      return ErrnoError("setsockopt");
    }
  }
  return absl::OkStatus();
}

absl::Status SendAll(const FileDescriptor& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoError("send");
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReceiveFrame(const FileDescriptor& socket) {
  FrameReader answer("answer", kResponseBytesMax);
  std::array<char, kReadBytes> bytes;
  while (!answer.complete()) {
    const ssize_t count = recv(socket.get(), bytes.data(), bytes.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      return absl::DeadlineExceededError(
          absl::StrCat("no answer within ", kAnswerDeadline.count(), " s"));
    }
    if (count < 0) return ErrnoError("recv");
    if (count == 0) return answer.End();
    VMBUSKIT_RETURN_IF_ERROR(answer.Feed({bytes.data(), static_cast<size_t>(count)}));
  }
  return answer.body();
}

}  // namespace

absl::StatusOr<int> ChooseInstance(SocketDirectory& directory, std::optional<int> pid) {
  const std::vector<int> instances = directory.FindInstances();
  if (pid.has_value()) {
    for (int instance : instances) {
      if (instance == *pid) return instance;
    }
  }
  if (instances.empty()) return absl::NotFoundError("nothing runs; start `vmbus demo` first");
  if (pid.has_value()) {
    return absl::NotFoundError(absl::StrCat("no instance runs as process ", *pid, "; there are ",
                                            absl::StrJoin(instances, ", ")));
  }
  if (instances.size() > 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        "several instances run; choose one with --pid: ", absl::StrJoin(instances, ", ")));
  }
  return instances.front();
}

absl::StatusOr<std::string> AskInstance(SocketDirectory& directory, int pid,
                                        const ControlRequest& request) {
  const std::string frame = EncodeFrame(EncodeRequest(request));
  if (frame.size() > kFrameHeaderBytes + kRequestBytesMax) {
    return absl::InvalidArgumentError("the path is too long");
  }
  absl::StatusOr<FileDescriptor> socket = directory.Connect(pid);
  if (!socket.ok()) return socket.status();
  VMBUSKIT_RETURN_IF_ERROR(SetDeadlines(*socket));
  VMBUSKIT_RETURN_IF_ERROR(SendAll(*socket, frame));
  return ReceiveFrame(*socket);
}

}  // namespace vmbuskit
