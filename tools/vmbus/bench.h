// `vmbus bench disk`: load on a disk, through a guest's driver and its host or on the back end alone.
//
//   return RunBenchDisk(command);
//
// Exit codes: as `vmbus run`. A first Ctrl-C ends the load early and shows what there is.
// Thread safety: the main thread.
#ifndef VMBUSKIT_TOOLS_VMBUS_BENCH_H_
#define VMBUSKIT_TOOLS_VMBUS_BENCH_H_

#include "tools/vmbus/command_line.h"

namespace vmbuskit {

int RunBenchDisk(const BenchCommand& command);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_BENCH_H_
