// `vmbus run`: a guest that drives the disks of a machine, and an NBD server that gives them to other programs.
//
//   return RunMachine(command);
//
// Exit codes: those of Session; 2 for a machine that cannot be (a wrong argument or machine file), 1 for what the
// system refuses (a missing or locked image, a port in use).
// Thread safety: the main thread.
#ifndef VMBUSKIT_TOOLS_VMBUS_RUN_H_
#define VMBUSKIT_TOOLS_VMBUS_RUN_H_

#include "tools/vmbus/command_line.h"

namespace vmbuskit {

int RunMachine(const RunCommand& command);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_RUN_H_
