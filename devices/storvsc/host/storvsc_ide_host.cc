#include "devices/storvsc/host/storvsc_ide_host.h"

#include <array>
#include <bit>
#include <memory>

#include "devices/storvsc/host/ram_storvsp.h"
#include "devices/storvsc/protocol.h"

namespace vmbuskit {
namespace {

constexpr std::array<std::byte, 120> UserDefined() {
  constexpr storvsc::OfferData kData = {.reserved0 = 0,
                                        .path_id = 0,
                                        .target_id = 0,
                                        .reserved1 = 0,
                                        .flags = storvsc::kOfferEmulatedIde,
                                        .reserved2 = {}};
  const auto bytes = std::bit_cast<std::array<std::byte, sizeof kData>>(kData);
  std::array<std::byte, 120> all{};
  for (size_t i = 0; i < bytes.size(); ++i) all[i] = bytes[i];
  return all;
}

constexpr VspClass kClass = {
    .name = "storvsc_ide",
    .class_id = storvsc::kIdeClassId,
    .default_instance_id = Guid::Parse("00000000-0000-8899-0000-000000000000"),
    .user_defined = UserDefined(),
    .create = [](VspContext& context) -> std::unique_ptr<Vsp> {
      return MakeRamStorvsp(context, StorvspOptions{.kind = StorvspOptions::Kind::kIde},
                            "vmbuskit IDE RAM disk");
    },
};

}  // namespace

const VspClass& StorvscIdeVspClass() { return kClass; }

Guid StorvscIdeInstance(uint8_t channel, uint8_t device) {
  Guid instance = kClass.default_instance_id;
  instance.bytes[0] = channel;  // data1
  instance.bytes[4] = device;   // data2
  return instance;
}

}  // namespace vmbuskit
