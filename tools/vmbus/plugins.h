// Device classes from shared objects.
//
//   absl::StatusOr<std::vector<PluginClasses>> plugins = LoadPlugins({"echo_plugin.so"});
//
// Thread safety: the main thread. A loaded object stays loaded until the process ends.
// Errors: those of the loader and of the version check (framework/bus/plugin.h), each naming the
// path.
#ifndef VMBUSKIT_TOOLS_VMBUS_PLUGINS_H_
#define VMBUSKIT_TOOLS_VMBUS_PLUGINS_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/vmbus/class_selection.h"

namespace vmbuskit {

absl::StatusOr<std::vector<PluginClasses>> LoadPlugins(std::span<const std::string> paths);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_PLUGINS_H_
