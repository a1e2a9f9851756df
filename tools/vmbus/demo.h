// `vmbus demo`: a guest and its host in this process, with a control socket for `vmbus ls` and
// `vmbus inspect`.
//
//   return RunDemo(command);
//
// Exit codes: those of Session; 2 for a class that does not exist or a plugin that cannot be taken.
// Thread safety: the main thread.
#ifndef VMBUSKIT_TOOLS_VMBUS_DEMO_H_
#define VMBUSKIT_TOOLS_VMBUS_DEMO_H_

#include "tools/vmbus/command_line.h"

namespace vmbuskit {

int RunDemo(const DemoCommand& command);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_DEMO_H_
