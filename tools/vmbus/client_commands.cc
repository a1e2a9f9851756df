#include "tools/vmbus/client_commands.h"

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "products/session.h"
#include "tools/vmbus/control_client.h"
#include "tools/vmbus/control_messages.h"
#include "tools/vmbus/socket_directory.h"

namespace vmbuskit {
namespace {

int Fail(std::string_view command, const absl::Status& error, int exit_code) {
  PrintError("vmbus " + std::string(command) + ": " + std::string(error.message()) + "\n");
  return exit_code;
}

// Asks, and prints what `render` makes of the answer.
template <typename Render>
int AskAndPrint(std::string_view command, std::optional<int> pid, const ControlRequest& request,
                Render render) {
  absl::StatusOr<SocketDirectory> directory = SocketDirectory::Open(SocketDirectory::DefaultPath());
  if (!directory.ok()) return Fail(command, directory.status(), EXIT_FAILURE);
  const absl::StatusOr<int> instance = ChooseInstance(*directory, pid);
  if (!instance.ok()) return Fail(command, instance.status(), kExitUsage);
  const absl::StatusOr<std::string> answer = AskInstance(*directory, *instance, request);
  if (!answer.ok()) return Fail(command, answer.status(), EXIT_FAILURE);
  const absl::StatusOr<std::string> text = render(*answer);
  if (!text.ok()) return Fail(command, text.status(), EXIT_FAILURE);
  PrintText(*text);
  return EXIT_SUCCESS;
}

}  // namespace

int RunList(const ListCommand& command) {
  const auto render = [&](const std::string& answer) -> absl::StatusOr<std::string> {
    absl::StatusOr<std::vector<DeviceRow>> rows = ParseDevices(answer);
    if (!rows.ok()) return rows.status();
    return command.json ? EncodeDevices(*rows) + "\n" : DeviceTable(*rows);
  };
  return AskAndPrint("ls", command.pid, {.command = ControlRequest::Command::kList, .path = {}},
                     render);
}

int RunInspect(const InspectCommand& command) {
  const auto render = [&](const std::string& answer) -> absl::StatusOr<std::string> {
    absl::StatusOr<Tree> tree = ParseTree(answer);
    if (!tree.ok()) return tree.status();
    return command.json ? tree->json : tree->text;
  };
  return AskAndPrint("inspect", command.pid,
                     {.command = ControlRequest::Command::kInspect, .path = command.path}, render);
}

}  // namespace vmbuskit
