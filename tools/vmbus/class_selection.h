// Which classes a demo runs: the built-in ones or some of them by name, and those of plugins.
//
//   absl::StatusOr<ClassSelection> selection = SelectClasses(built_in, {"heartbeat"}, plugins);
//
// Thread safety: pure functions. Errors: InvalidArgument names the class and what there is.
#ifndef VMBUSKIT_TOOLS_VMBUS_CLASS_SELECTION_H_
#define VMBUSKIT_TOOLS_VMBUS_CLASS_SELECTION_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "framework/bus/device.h"
#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

// Drivers and host counterparts; those of one class have the same name.
struct ClassSelection {
  std::vector<const DeviceClass*> classes;
  std::vector<const VspClass*> vsp_classes;
};

// A loaded plugin: where from, what it has.
struct PluginClasses {
  std::string path;
  ClassSelection classes;
};

// `names` empty: all built-in classes. A class that is both selected and in a plugin is an error,
// and so is having none at all.
absl::StatusOr<ClassSelection> SelectClasses(const ClassSelection& built_in,
                                             std::span<const std::string> names,
                                             std::span<const PluginClasses> plugins);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_CLASS_SELECTION_H_
