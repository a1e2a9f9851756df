// `vmbus ls` and `vmbus inspect`: ask a running demo and print what it says.
//
//   return RunList(command);
//
// Exit codes: 0; 1 when the instance gave an error; 2 when there is none, or several and none was
// chosen.
// Thread safety: none.
#ifndef VMBUSKIT_TOOLS_VMBUS_CLIENT_COMMANDS_H_
#define VMBUSKIT_TOOLS_VMBUS_CLIENT_COMMANDS_H_

#include "tools/vmbus/command_line.h"

namespace vmbuskit {

int RunList(const ListCommand& command);
int RunInspect(const InspectCommand& command);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_CLIENT_COMMANDS_H_
