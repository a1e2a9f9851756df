// What a client asks a running `vmbus demo`, and what it is told: JSON inside a frame (frame.h).
//
//   {"command": "ls"}                                 -> {"devices": [{"class": "echo", ...}]}
//   {"command": "inspect", "path": "guest/devices"}   -> {"tree": {...}}
//   anything else                                     -> {"error": "..."}
//
// Both sides distrust each other: unknown commands, wrong types and garbage are errors, never more.
// Thread safety: pure functions.
#ifndef VMBUSKIT_TOOLS_VMBUS_CONTROL_MESSAGES_H_
#define VMBUSKIT_TOOLS_VMBUS_CONTROL_MESSAGES_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/observe/inspect.h"
#include "products/device_table.h"

namespace vmbuskit {

struct ControlRequest {
  enum class Command { kList, kInspect };
  Command command = Command::kList;
  std::string path;  // kInspect
};

std::string EncodeRequest(const ControlRequest& request);
absl::StatusOr<ControlRequest> ParseRequest(std::string_view json);

std::string EncodeDevices(std::span<const DeviceRow> rows);
// The node at `path`; the error of a path that does not exist names the children there are.
std::string EncodeTree(const InspectNode& root, std::string_view path);
std::string EncodeError(const absl::Status& error);

// The server's error comes out as FailedPrecondition with its text, anything malformed as DataLoss.
absl::StatusOr<std::vector<DeviceRow>> ParseDevices(std::string_view json);
struct Tree {
  std::string json;  // indented
  std::string text;  // indented lines, "name: value"
};
absl::StatusOr<Tree> ParseTree(std::string_view json);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_CONTROL_MESSAGES_H_
