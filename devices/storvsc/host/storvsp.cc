#include "devices/storvsc/host/storvsp.h"

#include <utility>

#include "devices/storvsc/host/storvsp_controller.h"

namespace vmbuskit {

Storvsp::Storvsp(VspContext& context, const StorvspOptions& options)
    : controller_(new StorvspController(context, options)) {}

Storvsp::~Storvsp() { controller_->Abandon(); }

absl::Status Storvsp::Attach(const BlockAddress& address, std::shared_ptr<BlockDevice> device,
                             const DiskOptions& options) {
  return controller_->Attach(address, std::move(device), options);
}

absl::Status Storvsp::Detach(const BlockAddress& address) { return controller_->Detach(address); }

absl::Status Storvsp::OnOpen(Channel& channel, const OpenData& data) {
  return controller_->Open(channel, data.subchannel_index);
}

void Storvsp::OnClose(Channel& channel) { controller_->Close(channel); }

bool Storvsp::HoldsMemory(uint16_t subchannel_index) const {
  return controller_->HoldsMemory(subchannel_index);
}

absl::Status Storvsp::Save(StateWriter& state) { return controller_->Save(state); }

absl::Status Storvsp::Restore(StateReader& state) { return controller_->Restore(state); }

absl::Status Storvsp::OnReopen(Channel& channel, const OpenData& data) {
  return controller_->Reopen(channel, data.subchannel_index);
}

void Storvsp::Inspect(InspectNode& node) const { controller_->Inspect(node); }

}  // namespace vmbuskit
