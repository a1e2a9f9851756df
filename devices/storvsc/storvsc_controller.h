// The guest driver of a storvsc controller, of whatever class: negotiates, finds its disks, keeps the list of them up
// to date, and takes it all down again. Source: protocol 10.
//
//   std::unique_ptr<Device> Create(DeviceContext& context) {
//     return std::make_unique<StorvscController>(context, StorvscProfile{.topology = {.targets = 2}});
//   }
//
// Start ends when the first scan did. Hints that LUNs changed (ENUMERATE_BUS, unit attentions, a disk that the host
// does not know any more) lead to one more scan each time the last one is through, not more often than every
// `rescan_pause`. A request that the host does not answer in time is helped by RESET_LUN, then RESET_BUS; when it is
// still not answered the device fails, which closes its channels and so ends the request.
//
// PrepareStop: disks retire and the listener is told, what is under way is drained for `drain_limit`, the channels are
// closed, what is left ends with kGone, or with kLost and its pages withheld when the host did not let go.
//
// Thread safety: the device's executor; disks and their queues as block_device.h says.
// Lifetime: made and destroyed by the bus; the context, and a listener until it is replaced, outlive it. Disks may
// outlive it, retired.
// Errors: of Start, and of the device later: Violation names what a host said that breaks a rule; the errors of the
// handshake; DeadlineExceeded when what was under way outlives the resets; the channel's own reason. What is wrong with
// one LUN is that LUN's affair (Inspect tells it).
#ifndef VMBUSKIT_DEVICES_STORVSC_STORVSC_CONTROLLER_H_
#define VMBUSKIT_DEVICES_STORVSC_STORVSC_CONTROLLER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/storvsc/handshake.h"
#include "devices/storvsc/lun_probe.h"
#include "devices/storvsc/scsi_call.h"
#include "devices/storvsc/storvsc_disks.h"
#include "devices/storvsc/storvsc_lanes.h"
#include "framework/bus/condition.h"
#include "framework/bus/device.h"
#include "framework/interfaces/block_controller.h"
#include "framework/task/gate.h"
#include "framework/task/spawn.h"

namespace vmbuskit {

// What differs between the classes, and what tests change.
struct StorvscProfile {
  StorvscTopology topology = {};
  std::span<const uint16_t> versions = storvsc::kVersions;  // newest first
  bool subchannels = true;
  bool subchannels_before_end = false;  // as Windows does it; Linux asks after END_INITIALIZATION
  bool fibre_channel = false;           // asks for FCHBA_DATA
  uint32_t max_transfer_bytes = 8 << 20;
  // Of each queue of a disk: commands at a time, and guest pages for data that lie where the host cannot reach them.
  uint32_t queue_depth = 128;
  uint32_t bounce_bytes = 512 * 1024;

  uint32_t timeout_seconds = ScsiCommand::kDefaultTimeoutSeconds;  // of a command, until resets
  Duration drain_limit = std::chrono::seconds(10);
  Duration subchannel_limit = std::chrono::seconds(5);  // until they are offered
  Duration reset_limit = std::chrono::seconds(30);      // until a reset is answered
  Duration settle_limit = std::chrono::seconds(30);     // ... and requests after it
  Duration rescan_pause = std::chrono::milliseconds(100);
  Duration media_period = std::chrono::seconds(2);
  // Between scans that leave a doubt (StorvscDisks::in_doubt): doubled from the first to the last.
  Duration first_doubt_pause = std::chrono::seconds(1);
  Duration last_doubt_pause = std::chrono::seconds(30);
};

class StorvscController : public Device, public BlockController, private StorvscLanesListener {
 public:
  struct Counters {
    uint64_t unsolicited = 0;
    uint64_t unsolicited_ignored = 0;
    uint64_t lun_resets = 0;
    uint64_t bus_resets = 0;
    uint64_t resets_failed = 0;
    uint64_t subchannels_failed = 0;
  };

  StorvscController(DeviceContext& context, const StorvscProfile& profile);
  ~StorvscController() override;

  // Any command, with its answer as the host gave it (persistent reservations, mode pages, whatever the LUN knows).
  // While the device runs. Unavailable when it stops, and the errors of ScsiCaller::Execute.
  Task<absl::StatusOr<ScsiReply>> Execute(ScsiCall call);
  // Looks for LUNs that came or went; at the next turn.
  void RequestScan();

  Task<absl::Status> Start() override;
  Task<void> PrepareStop(StopReason reason) override;
  void Stop() override {}
  void OnSubchannelOffered(uint16_t index) override;
  void OnSubchannelRescinded(uint16_t index) override;
  BlockController* block_controller() override { return this; }
  std::string NegotiatedVersions() const override;
  void Inspect(InspectNode& node) const override;
  Task<void> InspectElsewhere(InspectNode& node) override;

  void SetListener(BlockControllerListener* listener) override;
  const Counters& counters() const { return counters_; }

 private:
  // StorvscLanesListener.
  void OnUnsolicited(uint32_t operation, std::span<const std::byte> packet) override;
  void OnOverdue() override;
  void OnLaneFailed(const absl::Status& reason) override;

  // storvsc_controller_start.cc
  Task<absl::Status> Initialize();
  Task<absl::Status> AskForSubchannels();
  Task<void> OpenSubchannels();
  Task<void> OpenSubchannel(uint16_t index);

  // storvsc_controller_reset.cc
  Task<void> Escalate();
  Task<bool> ResetLuns(std::vector<BlockAddress> addresses);
  Task<bool> ResetBuses(std::vector<BlockAddress> addresses);
  Task<bool> Reset(storvsc::Operation operation, BlockAddress address);
  Task<bool> Settled();

  void Kick();
  Task<void> Work();
  void ScanAgainIfInDoubt();
  void OnMediaTimer();
  void OnDiskAttention();
  void Fail(const absl::Status& reason);
  bool ending() const { return stopping_ || !ended_.ok(); }

  DeviceContext& context_;
  const StorvscProfile profile_;
  StorvscLanes lanes_;
  const std::shared_ptr<SharedEvent> attention_;
  std::optional<StorvscHandshake> handshake_;  // from here on after the primary was opened
  std::optional<ScsiCaller> caller_;
  std::optional<LunProbe> probe_;
  std::optional<StorvscDisks> disks_;
  BlockControllerListener* listener_ = nullptr;

  uint16_t version_ = 0;
  StorvscProperties properties_;
  uint16_t subchannels_wanted_ = 0;
  bool opening_ = false;  // sub-channels are opened as they are offered
  storvsc::FcHbaData fc_hba_ = {};

  bool scan_wanted_ = false;
  bool poll_wanted_ = false;
  bool working_ = false;
  bool scanned_ = false;  // once
  absl::Status scan_status_;
  bool escalating_ = false;
  bool overdue_again_ = false;
  bool stopping_ = false;
  absl::Status ended_;  // why the device cannot go on
  Counters counters_;

  Duration doubt_pause_;
  Timer media_timer_;
  Timer doubt_timer_;
  Condition changed_;
  Gate gate_;        // calls from outside
  TaskGroup work_;   // scans, resets
  TaskGroup opens_;  // of sub-channels
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_STORVSC_CONTROLLER_H_
