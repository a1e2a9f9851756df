#include "framework/bus/class_registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"

namespace vmbuskit {

absl::Status ClassRegistry::Add(std::span<const DeviceClass* const> classes) {
  absl::flat_hash_map<Guid, const DeviceClass*> all = classes_;
  for (const DeviceClass* device_class : classes) {
    if (device_class == nullptr) return absl::InvalidArgumentError("a device class is null");
    if (device_class->class_ids.empty() || device_class->create == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("device class \"", ToAbsl(device_class->name), "\" has no ",
                       device_class->create == nullptr ? "create function" : "class GUID"));
    }
    for (const Guid& class_id : device_class->class_ids) {
      const auto [existing, added] = all.emplace(class_id, device_class);
      if (added) continue;
      return absl::AlreadyExistsError(absl::StrCat(
          "class GUID ", class_id.ToString(), " is claimed by both \"",
          ToAbsl(existing->second->name), "\" and \"", ToAbsl(device_class->name), "\""));
    }
  }
  classes_ = std::move(all);
  return absl::OkStatus();
}

const DeviceClass* ClassRegistry::Find(const Guid& class_id) const {
  const auto found = classes_.find(class_id);
  return found == classes_.end() ? nullptr : found->second;
}

}  // namespace vmbuskit
