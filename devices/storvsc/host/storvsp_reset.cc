// Resets of LUN, bus and adapter.
#include <algorithm>

#include "devices/storvsc/host/storvsp_controller.h"

namespace vmbuskit {

void StorvspController::Reset(StorvspChannel& channel, StorvspSlot& slot) {
  if (phase_ != Phase::kReady) return channel.Answer(slot, storvsc::kStatusInvalidDeviceState);
  ++resets_;
  slot.sequence = NextSequence();
  if (options_.reset == StorvspOptions::Reset::kNothing) {
    return channel.Answer(slot, storvsc::kStatusSuccess);
  }
  const bool of_bus = slot.packet.header.operation != storvsc::kResetLun;
  for (const auto& lane : open_) {
    for (StorvspSlot& command : lane->slots()) {
      if (!Concerns(slot, command) || command.end_as != 0) continue;
      command.end_as = of_bus ? storvsc::kSrbBusReset : storvsc::kSrbAborted;
    }
  }
  slot.state = StorvspSlot::State::kWaiting;
  reset_waits = true;
  TryEndReset(slot);
}

// Is `command` one that `reset` has to wait for?
bool StorvspController::Concerns(const StorvspSlot& reset, const StorvspSlot& command) const {
  if (command.state != StorvspSlot::State::kRunning || command.sequence > reset.sequence) {
    return false;
  }
  const storvsc::ScsiRequest& of = reset.packet.body;
  const BlockAddress& at = command.lun->address;
  switch (reset.packet.header.operation) {
    case storvsc::kResetLun:
      return at == BlockAddress{PathOf(of), of.target_id, of.lun};
    case storvsc::kResetBus:
      return at.path == PathOf(of);
    default:
      return true;
  }
}

void StorvspController::TryEndReset(StorvspSlot& reset) {
  for (const auto& lane : open_) {
    if (std::ranges::any_of(lane->slots(),
                            [&](const StorvspSlot& command) { return Concerns(reset, command); })) {
      return;
    }
  }
  reset.channel->Answer(reset, storvsc::kStatusSuccess);
}

void StorvspController::OnCommandEnd() {
  bool any = false;
  for (const auto& lane : open_) {
    for (StorvspSlot& slot : lane->slots()) {
      if (slot.state != StorvspSlot::State::kWaiting) continue;
      TryEndReset(slot);
      any |= slot.state == StorvspSlot::State::kWaiting;
    }
  }
  reset_waits = any;
}

}  // namespace vmbuskit
