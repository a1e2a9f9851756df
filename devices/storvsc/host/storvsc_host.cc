#include "devices/storvsc/host/storvsc_host.h"

#include <memory>

#include "devices/storvsc/host/ram_storvsp.h"
#include "devices/storvsc/protocol.h"

namespace vmbuskit {
namespace {

constexpr VspClass kClass = {
    .name = "storvsc",
    .class_id = storvsc::kScsiClassId,
    .default_instance_id = Guid::Parse("d5a3b1c7-5e2f-4d11-8f0a-7b6c90e1a001"),
    .create = [](VspContext& context) -> std::unique_ptr<Vsp> {
      return MakeRamStorvsp(context, StorvspOptions{}, "vmbuskit RAM disk");
    },
};

}  // namespace

const VspClass& StorvscVspClass() { return kClass; }

}  // namespace vmbuskit
