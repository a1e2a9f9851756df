#include "devices/storvsc/storvsc.h"

namespace vmbuskit {
namespace {

// Hyper-V has all disks at 0:0, but other hosts need not: as far as Linux looks (section 1).
constexpr StorvscProfile kProfile = {
    .topology = {.paths = 8, .first_target = 0, .targets = 2, .luns = 64, .report_luns = true}};

std::unique_ptr<Device> Create(DeviceContext& context) {
  return std::make_unique<StorvscController>(context, kProfile);
}

constexpr Guid kClassIds[] = {storvsc::kScsiClassId};
constexpr DeviceClass MakeClass() {
  DeviceClass device_class = StorvscClassTemplate();
  device_class.name = "storvsc";
  device_class.class_ids = kClassIds;
  device_class.create = &Create;
  return device_class;
}
constexpr DeviceClass kClass = MakeClass();

}  // namespace

const DeviceClass& StorvscClass() { return kClass; }

StorvscController& StorvscControllerOf(Device& device) {
  return static_cast<StorvscController&>(device);
}

}  // namespace vmbuskit
