// The inside of a storvsp: protocol state, LUNs and channels, which may outlive the Storvsp itself while back ends are
// at work. Source: protocol 10 sections 4, 5.5 and 6.
//
//   auto* controller = new StorvspController(context, options);
//   controller->Abandon();              // destroys itself, at once or when nothing is under way
//
// Thread safety: the executor.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_CONTROLLER_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_CONTROLLER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "devices/storvsc/host/storvsp.h"
#include "devices/storvsc/host/storvsp_channel.h"
#include "devices/storvsc/host/storvsp_luns.h"
#include "platform/executor.h"

namespace vmbuskit {

class StorvspController final : public StorvspChannel::Owner {
 public:
  StorvspController(VspContext& context, const StorvspOptions& options);
  void Abandon();

  absl::Status Attach(const BlockAddress& address, std::shared_ptr<BlockDevice> device,
                      const DiskOptions& options);
  absl::Status Detach(const BlockAddress& address);

  absl::Status Open(Channel& channel, uint16_t index);
  absl::Status Reopen(Channel& channel, uint16_t index);
  void Close(Channel& channel);
  absl::Status Save(StateWriter& state);
  absl::Status Restore(StateReader& state);
  bool HoldsMemory(uint16_t index) const;
  void Inspect(InspectNode& node) const;

 private:
  // Protocol 10 section 4: what the guest has to say next on the primary channel.
  enum class Phase : uint8_t { kBegin, kQueryVersion, kQueryProperties, kEndInit, kReady };
  using Channels = std::vector<std::unique_ptr<StorvspChannel>>;

  ~StorvspController() override;

  // ---- StorvspChannel::Owner.
  void OnControl(StorvspChannel& channel, StorvspSlot& slot) override;
  bool ready() const override { return phase_ == Phase::kReady; }
  StorvspLuns& luns() override { return luns_; }
  uint64_t NextSequence() override { return ++sequence_; }
  uint8_t PathOf(const storvsc::ScsiRequest& request) const override {
    return options_.kind == StorvspOptions::Kind::kIde ? options_.ide_path : request.path_id;
  }
  void OnCommandEnd() override;
  void OnIdle() override { reap_.Signal(); }
  void OnRoom() override;

  // Initialization, on the primary channel.
  void Initialize(StorvspChannel& channel, StorvspSlot& slot);
  void QueryVersion(StorvspChannel& channel, StorvspSlot& slot);
  void QueryProperties(StorvspChannel& channel, StorvspSlot& slot);
  void CreateSubchannels(StorvspChannel& channel, StorvspSlot& slot);
  void EndInitialization(StorvspChannel& channel, StorvspSlot& slot);
  bool AtPhase(StorvspChannel& channel, StorvspSlot& slot, Phase phase);
  uint16_t subchannels_max() const;
  void Restart();

  // storvsp_reset.cc
  void Reset(StorvspChannel& channel, StorvspSlot& slot);
  bool Concerns(const StorvspSlot& reset, const StorvspSlot& command) const;
  void TryEndReset(StorvspSlot& reset);

  // storvsp_state.cc
  template <typename Archive>
  void ExchangeOwn(Archive& archive);
  void ReplayRestored();

  StorvspChannel& AddLane(Channel& channel, uint16_t index);
  void NotifyOfDisks();
  void Reap();
  StorvspChannel* primary() const;

  VspContext* context_;  // null: abandoned
  GuestMemory& memory_;
  Executor& executor_;
  const StorvspOptions options_;
  StorvspLuns luns_;
  Channels open_;
  Channels closed_;                // with something under way
  StorvspSavedRequests restored_;  // not under way again yet
  Phase phase_ = Phase::kBegin;
  uint16_t version_ = 0;
  bool subchannels_created_ = false;  // before END_INITIALIZATION
  bool notification_pending_ = false;
  uint64_t sequence_ = 0;
  uint64_t notifications_ = 0;
  uint64_t resets_ = 0;
  Event reap_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_CONTROLLER_H_
