// Asks a running `vmbus demo`.
//
//   absl::StatusOr<std::string> answer = AskInstance(directory, pid, {.command = ...});
//
// Blocking, with kAnswerDeadline for each step. Errors: NotFound when nothing runs,
// FailedPrecondition when several do and none was chosen (the message lists them), DataLoss for an
// answer that breaks the framing.
// Thread safety: none.
#ifndef VMBUSKIT_TOOLS_VMBUS_CONTROL_CLIENT_H_
#define VMBUSKIT_TOOLS_VMBUS_CONTROL_CLIENT_H_

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "tools/vmbus/control_messages.h"
#include "tools/vmbus/socket_directory.h"

namespace vmbuskit {

inline constexpr std::chrono::seconds kAnswerDeadline{10};

// The instance to ask: `pid` when given, else the only one there is.
absl::StatusOr<int> ChooseInstance(SocketDirectory& directory, std::optional<int> pid);

// The body of the answer.
absl::StatusOr<std::string> AskInstance(SocketDirectory& directory, int pid,
                                        const ControlRequest& request);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_CONTROL_CLIENT_H_
