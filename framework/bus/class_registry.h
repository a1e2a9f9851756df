// Which driver serves which class GUID. Explicit: nothing registers itself.
//
//   ClassRegistry registry;
//   absl::Status status = registry.Add(DriverSetClasses());
//   const DeviceClass* device_class = registry.Find(offer.class_id);   // null: no driver
//
// Thread safety: the bus executor. Lifetime: classes are constants that outlive the registry.
// Errors: InvalidArgument for a class that cannot work, AlreadyExists naming both classes that
// claim a GUID; after an error nothing of the list was added.
#ifndef VMBUSKIT_FRAMEWORK_BUS_CLASS_REGISTRY_H_
#define VMBUSKIT_FRAMEWORK_BUS_CLASS_REGISTRY_H_

#include <cstddef>
#include <span>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "framework/base/guid.h"
#include "framework/bus/device.h"

namespace vmbuskit {

class ClassRegistry {
 public:
  absl::Status Add(std::span<const DeviceClass* const> classes);
  const DeviceClass* Find(const Guid& class_id) const;
  size_t size() const { return classes_.size(); }  // GUIDs

 private:
  absl::flat_hash_map<Guid, const DeviceClass*> classes_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_CLASS_REGISTRY_H_
