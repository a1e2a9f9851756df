#include "devices/storvsc/host/storvsc_fc_host.h"

#include <memory>

#include "devices/storvsc/host/ram_storvsp.h"
#include "devices/storvsc/protocol.h"

namespace vmbuskit {
namespace {

// Of the range that Hyper-V takes them from.
constexpr storvsc::FcHbaData kNames = {.primary_active = 1,
                                       .reserved = {},
                                       .primary_port = {0xC0, 0x03, 0xFF, 0, 0, 0, 0, 0x10},
                                       .primary_node = {0xC0, 0x03, 0xFF, 0, 0, 0, 0xFF, 0xFF},
                                       .secondary_port = {0xC0, 0x03, 0xFF, 0, 0, 0, 0, 0x11},
                                       .secondary_node = {0xC0, 0x03, 0xFF, 0, 0, 0, 0xFF, 0xFF}};

constexpr VspClass kClass = {
    .name = "storvsc_fc",
    .class_id = storvsc::kFibreChannelClassId,
    .default_instance_id = Guid::Parse("d5a3b1c7-5e2f-4d11-8f0a-7b6c90e1a0fc"),
    .create = [](VspContext& context) -> std::unique_ptr<Vsp> {
      return MakeRamStorvsp(
          context, StorvspOptions{.kind = StorvspOptions::Kind::kFibreChannel, .wwns = kNames},
          "vmbuskit FC RAM disk");
    },
};

}  // namespace

const VspClass& StorvscFcVspClass() { return kClass; }
const storvsc::FcHbaData& StorvscFcNames() { return kNames; }

}  // namespace vmbuskit
