#include "tools/vmbus/machine_host.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/storvsc/host/storvsc_fc_host.h"
#include "devices/storvsc/host/storvsc_host.h"
#include "devices/storvsc/host/storvsc_ide_host.h"
#include "devices/storvsc/storvsc.h"
#include "devices/storvsc/storvsc_fc.h"
#include "devices/storvsc/storvsc_ide.h"
#include "framework/base/status.h"

namespace vmbuskit {
namespace {

// Byte 4 of an IDE controller's instance is its target; the last one tells the controllers of a machine apart.
constexpr Guid kInstances = Guid::Parse("d5a3b1c7-5e00-4d11-8f0a-7b6c90e1b000");

const VspClass& VspClassOf(ControllerSpec::Kind kind) {
  switch (kind) {
    case ControllerSpec::Kind::kScsi:
      break;
    case ControllerSpec::Kind::kIde:
      return StorvscIdeVspClass();
    case ControllerSpec::Kind::kFibreChannel:
      return StorvscFcVspClass();
  }
  return StorvscVspClass();
}

StorvspOptions OptionsOf(const ControllerSpec& controller) {
  StorvspOptions options;
  options.max_subchannels = static_cast<uint16_t>(controller.subchannels);
  if (controller.max_version != 0) options.version_max = controller.max_version;
  if (controller.kind == ControllerSpec::Kind::kIde) options.kind = StorvspOptions::Kind::kIde;
  if (controller.kind == ControllerSpec::Kind::kFibreChannel) {
    options.kind = StorvspOptions::Kind::kFibreChannel;
    options.wwns = StorvscFcNames();
  }
  return options;
}

absl::Status NotOffered(size_t controller) {
  return absl::FailedPreconditionError(absl::StrCat("controller ", controller, " is not on offer"));
}

}  // namespace

const DeviceClass& GuestClassOf(ControllerSpec::Kind kind) {
  switch (kind) {
    case ControllerSpec::Kind::kScsi:
      break;
    case ControllerSpec::Kind::kIde:
      return StorvscIdeClass();
    case ControllerSpec::Kind::kFibreChannel:
      return StorvscFcClass();
  }
  return StorvscClass();
}

Guid ControllerInstance(ControllerSpec::Kind kind, size_t index) {
  Guid instance = kInstances;
  instance.bytes[14] = static_cast<uint8_t>(kind);
  instance.bytes[15] = static_cast<uint8_t>(index);
  return instance;
}

BlockAddress AddressOf(const DiskSpec& disk) {
  return {.lun = static_cast<uint8_t>(disk.lun.value_or(0))};
}

MachineHost::MachineHost(const Machine& machine, const std::vector<std::vector<BackEnd>>& back_ends)
    : machine_(machine), back_ends_(back_ends), controllers_(machine.controllers.size()) {
  for (size_t c = 0; c < controllers_.size(); ++c) {
    controllers_[c].attached.assign(machine.controllers[c].disks.size(), true);
  }
}

absl::Status MachineHost::OfferAll(EmbeddedHost& host) {
  host_ = &host;
  for (size_t c = 0; c < controllers_.size(); ++c) VMBUSKIT_RETURN_IF_ERROR(Offer(c));
  return absl::OkStatus();
}

absl::Status MachineHost::Offer(size_t controller) {
  const ControllerSpec& spec = machine_.controllers[controller];
  absl::Status made;
  absl::StatusOr<DeviceId> id =
      host_->AddDevice(VspClassOf(spec.kind), ControllerInstance(spec.kind, controller),
                       [&, this](VspContext& context) { return Make(controller, context, made); });
  if (!made.ok()) return made;
  if (!id.ok()) return id.status();
  controllers_[controller].id = *id;
  return absl::OkStatus();
}

std::unique_ptr<Vsp> MachineHost::Make(size_t controller, VspContext& context,
                                       absl::Status& status) {
  auto vsp = std::make_unique<Storvsp>(context, OptionsOf(machine_.controllers[controller]));
  Controller& state = controllers_[controller];
  for (size_t d = 0; d < state.attached.size(); ++d) {
    if (state.attached[d]) status.Update(AttachTo(*vsp, controller, d));
  }
  state.vsp = vsp.get();
  return vsp;
}

absl::Status MachineHost::AttachTo(Storvsp& vsp, size_t controller, size_t disk) {
  const DiskSpec& spec = machine_.controllers[controller].disks[disk];
  const BackEnd& back_end = back_ends_[controller][disk];
  DiskOptions options{.serial = spec.export_name.value_or(""), .read_only = spec.read_only};
  if (spec.dvd) {
    options.unit = ScsiUnit::kDvd;
    return vsp.Attach(AddressOf(spec), back_end.disk, options);
  }
  // A back end with smaller blocks can show larger ones.
  options.sector_bytes = std::max(spec.block_bytes, back_end.disk->info().block_bytes);
  return vsp.Attach(AddressOf(spec), back_end.disk, options);
}

absl::Status MachineHost::Rescind(size_t controller) {
  Controller& state = controllers_[controller];
  if (!state.id.has_value()) return NotOffered(controller);
  state.vsp = nullptr;
  const DeviceId id = *std::exchange(state.id, std::nullopt);
  return host_->RemoveDevice(id);
}

absl::Status MachineHost::Detach(size_t controller, size_t disk) {
  Controller& state = controllers_[controller];
  if (!state.id.has_value()) return NotOffered(controller);
  VMBUSKIT_RETURN_IF_ERROR(
      state.vsp->Detach(AddressOf(machine_.controllers[controller].disks[disk])));
  state.attached[disk] = false;
  return absl::OkStatus();
}

absl::Status MachineHost::Attach(size_t controller, size_t disk) {
  Controller& state = controllers_[controller];
  if (state.attached[disk]) return absl::OkStatus();
  // A controller that is away will have it when it comes.
  if (state.id.has_value()) VMBUSKIT_RETURN_IF_ERROR(AttachTo(*state.vsp, controller, disk));
  state.attached[disk] = true;
  return absl::OkStatus();
}

}  // namespace vmbuskit
