#include "tools/vmbus/plugins.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/bus/plugin.h"
#include "platform/linux/plugin_loader.h"

namespace vmbuskit {
namespace {

absl::StatusOr<PluginClasses> LoadPlugin(const std::string& path) {
  absl::StatusOr<void*> entry = LoadPluginSymbol(path, kPluginEntryPoint);
  if (!entry.ok()) return entry.status();
  const VmbuskitPlugin* plugin = reinterpret_cast<VmbuskitPluginFunction>(*entry)();
  if (absl::Status checked = CheckPlugin(plugin); !checked.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("plugin ", path, ": ", checked.message()));
  }
  PluginClasses loaded = {.path = path, .classes = {}};
  for (const DeviceClass* device_class : PluginDeviceClasses(*plugin)) {
    loaded.classes.classes.push_back(device_class);
  }
  for (const void* host_class : std::span(plugin->host_classes, plugin->host_class_count)) {
    loaded.classes.vsp_classes.push_back(static_cast<const VspClass*>(host_class));
  }
  return loaded;
}

}  // namespace

absl::StatusOr<std::vector<PluginClasses>> LoadPlugins(std::span<const std::string> paths) {
  std::vector<PluginClasses> plugins;
  for (const std::string& path : paths) {
    absl::StatusOr<PluginClasses> loaded = LoadPlugin(path);
    if (!loaded.ok()) return loaded.status();
    plugins.push_back(*std::move(loaded));
  }
  return plugins;
}

}  // namespace vmbuskit
