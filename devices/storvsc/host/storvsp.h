// A storvsp: one synthetic controller (SCSI, IDE accelerator or Fibre Channel) with its disks, as a guest sees it.
// Source: protocol 10 sections 1 to 6.
//
//   auto vsp = std::make_unique<Storvsp>(context, StorvspOptions{});
//   VMBUSKIT_RETURN_IF_ERROR(vsp->Attach({.lun = 0}, disk, {.serial = "0042"}));   // at any time: the guest is told
//   VMBUSKIT_RETURN_IF_ERROR(vsp->Detach({.lun = 0}));
//
// Disks may stay away and come while the guest runs. Work that is under way on a disk that is taken away, or on a
// channel that closes, goes on to its end: the disk and the guest's memory are held so long (HoldsMemory). A
// controller may be destroyed with work under way; what it holds goes with the end of that, on the executor.
//
// Saved are protocol state, sense, reservations and what is under way, not the disks: those of the machine that
// restores are to have the same contents, and nothing may be at work on them any more that was before.
//
// Thread safety: the host executor. Lifetime: as a Vsp.
// Errors: of Attach and Detach as said there. A guest that breaks a rule gets sense data or an NTSTATUS, or its
// channel ends; the counters of Inspect tell.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "devices/storvsc/host/disk_options.h"
#include "devices/storvsc/protocol.h"
#include "framework/interfaces/block_controller.h"
#include "framework/interfaces/block_device.h"
#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

struct StorvspOptions {
  enum class Kind : uint8_t { kScsi, kIde, kFibreChannel };
  // What a reset of LUN, bus or adapter does: nothing, as the reference's host, or the requests that it is about end
  // with ABORTED or BUS_RESET before it is answered (as soon as the back end lets go of them).
  enum class Reset : uint8_t { kNothing, kAbort };

  Kind kind = Kind::kScsi;
  uint16_t version_min = storvsc::kVersion2_0;
  uint16_t version_max = storvsc::kVersion6_2;  // 6.0: as openvmm
  uint32_t max_transfer_bytes = 256 * 1024;     // whole pages
  uint16_t max_subchannels = 64;                // SCSI and Fibre Channel
  uint32_t requests_max = 256;                  // of one channel; then its ring is not read
  Reset reset = Reset::kNothing;
  uint8_t ide_path = 0;  // the IDE channel
  storvsc::FcHbaData wwns = {};
  // In reservations: another one for each controller that shows the same disk.
  uint32_t initiator = 1;
};

class StorvspController;

class Storvsp : public Vsp {
 public:
  Storvsp(VspContext& context, const StorvspOptions& options);
  ~Storvsp() override;

  // AlreadyExists: there is a disk at `address`. InvalidArgument: `options` do not fit the device. Unavailable: the
  // device gives no queue for the host's executor.
  absl::Status Attach(const BlockAddress& address, std::shared_ptr<BlockDevice> device,
                      const DiskOptions& options = {});
  // NotFound: there is none.
  absl::Status Detach(const BlockAddress& address);

  // ---- Vsp.
  absl::Status OnOpen(Channel& channel, const OpenData& data) override;
  void OnClose(Channel& channel) override;
  void OnPacket(Channel&, const Packet&) override {}  // the channels have handlers of their own
  bool HoldsMemory(uint16_t subchannel_index) const override;
  absl::Status Save(StateWriter& state) override;
  absl::Status Restore(StateReader& state) override;
  absl::Status OnReopen(Channel& channel, const OpenData& data) override;
  void Inspect(InspectNode& node) const override;

 private:
  // Outlives this object while work is under way.
  StorvspController* const controller_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_H_
