#include "tools/vmbus/class_selection.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"

namespace vmbuskit {
namespace {

std::string Names(const std::vector<const DeviceClass*>& classes) {
  std::string names;
  for (const DeviceClass* device_class : classes) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", ToAbsl(device_class->name));
  }
  return names.empty() ? "none" : names;
}

template <typename Class>
bool Has(const std::vector<const Class*>& classes, std::string_view name) {
  return std::ranges::any_of(classes, [name](const Class* one) { return one->name == name; });
}

absl::Status AddPlugin(const PluginClasses& plugin, ClassSelection& selection) {
  if (plugin.classes.classes.empty() && plugin.classes.vsp_classes.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("plugin ", plugin.path, " has no class"));
  }
  for (const DeviceClass* device_class : plugin.classes.classes) {
    if (Has(selection.classes, device_class->name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("class '", ToAbsl(device_class->name), "' of plugin ", plugin.path,
                       " is there already; choose the other classes with --devices (now: ",
                       Names(selection.classes), ")"));
    }
    selection.classes.push_back(device_class);
  }
  for (const VspClass* vsp_class : plugin.classes.vsp_classes) {
    if (!Has(selection.vsp_classes, vsp_class->name)) selection.vsp_classes.push_back(vsp_class);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ClassSelection> SelectClasses(const ClassSelection& built_in,
                                             std::span<const std::string> names,
                                             std::span<const PluginClasses> plugins) {
  for (const std::string& name : names) {
    if (!Has(built_in.classes, name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no class '", name, "'; there are ", Names(built_in.classes)));
    }
  }
  const auto chosen = [names](std::string_view name) {
    return names.empty() || std::ranges::find(names, name) != names.end();
  };
  ClassSelection selection;
  for (const DeviceClass* device_class : built_in.classes) {
    if (chosen(device_class->name)) selection.classes.push_back(device_class);
  }
  for (const VspClass* vsp_class : built_in.vsp_classes) {
    if (chosen(vsp_class->name)) selection.vsp_classes.push_back(vsp_class);
  }
  for (const PluginClasses& plugin : plugins) {
    if (absl::Status added = AddPlugin(plugin, selection); !added.ok()) return added;
  }
  return selection;
}

}  // namespace vmbuskit
