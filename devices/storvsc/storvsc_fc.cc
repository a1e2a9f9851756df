#include "devices/storvsc/storvsc_fc.h"

#include "devices/storvsc/storvsc.h"

namespace vmbuskit {
namespace {

constexpr StorvscProfile kProfile = {
    .topology = {.paths = 8, .first_target = 0, .targets = 128, .luns = 64, .report_luns = true},
    .fibre_channel = true,
    .max_transfer_bytes = 512 * 1024};

std::unique_ptr<Device> Create(DeviceContext& context) {
  return std::make_unique<StorvscController>(context, kProfile);
}

constexpr Guid kClassIds[] = {storvsc::kFibreChannelClassId};
constexpr DeviceClass MakeClass() {
  DeviceClass device_class = StorvscClassTemplate();
  device_class.name = "storvsc_fc";
  device_class.class_ids = kClassIds;
  device_class.create = &Create;
  return device_class;
}
constexpr DeviceClass kClass = MakeClass();

}  // namespace

const DeviceClass& StorvscFcClass() { return kClass; }

}  // namespace vmbuskit
