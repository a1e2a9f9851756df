// A controller with one RAM disk, which is part of what the host saves: what the classes to be listed consist of.
//
//   .create = [](VspContext& context) { return MakeRamStorvsp(context, StorvspOptions{}, "vmbuskit RAM disk"); }
//
// Thread safety: the host executor.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_RAM_STORVSP_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_RAM_STORVSP_H_

#include <memory>
#include <string>
#include <utility>

#include "devices/storvsc/host/ram_disk.h"
#include "devices/storvsc/host/storvsp.h"
#include "framework/base/status.h"

namespace vmbuskit {

class RamStorvsp final : public Storvsp {
 public:
  RamStorvsp(VspContext& context, const StorvspOptions& options, std::shared_ptr<RamDisk> disk)
      : Storvsp(context, options), disk_(std::move(disk)) {}

  absl::Status Save(StateWriter& state) override {
    disk_->Save(state);
    return Storvsp::Save(state);
  }
  absl::Status Restore(StateReader& state) override {
    disk_->Restore(state);
    VMBUSKIT_RETURN_IF_ERROR(state.status());
    return Storvsp::Restore(state);
  }

 private:
  const std::shared_ptr<RamDisk> disk_;
};

// 64 MiB at path 0, target 0, LUN 0.
inline std::unique_ptr<Vsp> MakeRamStorvsp(VspContext& context, const StorvspOptions& options,
                                           std::string id) {
  auto disk = std::make_shared<RamDisk>(RamDisk::Options{.id = std::move(id)});
  auto vsp = std::make_unique<RamStorvsp>(context, options, disk);
  if (!vsp->Attach({}, std::move(disk)).ok()) return nullptr;
  return vsp;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_RAM_STORVSP_H_
