#include "devices/storvsc/storvsc_ide.h"

#include "devices/storvsc/storvsc.h"

namespace vmbuskit {
namespace {

std::unique_ptr<Device> Create(DeviceContext& context) {
  StorvscProfile profile;
  // data2 of the instance GUID, of which a target has one byte. The path is the host's affair.
  profile.topology = {.paths = 1,
                      .first_target = context.offer().instance_id.bytes[4],
                      .targets = 1,
                      .luns = 1,
                      .report_luns = false};
  profile.subchannels = false;
  return std::make_unique<StorvscController>(context, profile);
}

constexpr Guid kClassIds[] = {storvsc::kIdeClassId};
constexpr DeviceClass MakeClass() {
  DeviceClass device_class = StorvscClassTemplate();
  device_class.name = "storvsc_ide";
  device_class.class_ids = kClassIds;
  device_class.create = &Create;
  return device_class;
}
constexpr DeviceClass kClass = MakeClass();

}  // namespace

const DeviceClass& StorvscIdeClass() { return kClass; }

}  // namespace vmbuskit
