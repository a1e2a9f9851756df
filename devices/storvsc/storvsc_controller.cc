#include "devices/storvsc/storvsc_controller.h"

#include <utility>

#include "devices/storvsc/fc_hba.h"
#include "framework/channel/payload.h"
#include "framework/task/deadline.h"

namespace vmbuskit {

StorvscController::StorvscController(DeviceContext& context, const StorvscProfile& profile)
    : context_(context),
      profile_(profile),
      lanes_(context, *this),
      attention_(std::make_shared<SharedEvent>(
          context.executor(), Callback::To<&StorvscController::OnDiskAttention>(this))),
      doubt_pause_(profile.first_doubt_pause),
      media_timer_(context.executor(), Callback::To<&StorvscController::OnMediaTimer>(this)),
      doubt_timer_(context.executor(), Callback::To<&StorvscController::RequestScan>(this)),
      changed_(context.executor()),
      gate_(context.executor(), "storvsc calls"),
      work_(context.executor(), "storvsc work"),
      opens_(context.executor(), "storvsc sub-channels") {}

StorvscController::~StorvscController() { attention_->Close(); }

// ---- Calls from outside.

Task<absl::StatusOr<ScsiReply>> StorvscController::Execute(ScsiCall call) {
  const Gate::Holder holder = gate_.Enter();
  if (!holder || version_ == 0 || !ended_.ok()) {
    co_return absl::UnavailableError("the storvsc controller is not running");
  }
  co_return co_await caller_->Execute(call);
}

void StorvscController::SetListener(BlockControllerListener* listener) {
  listener_ = listener;
  if (disks_) disks_->SetListener(listener);
}

// ---- What goes on while it runs.

void StorvscController::RequestScan() {
  scan_wanted_ = true;
  Kick();
}

// Nobody tells when a LUN that was busy no longer is.
void StorvscController::ScanAgainIfInDoubt() {
  if (ending()) return;
  if (!disks_->in_doubt() && !absl::IsResourceExhausted(scan_status_)) {
    doubt_pause_ = profile_.first_doubt_pause;
    return doubt_timer_.Disarm();
  }
  doubt_timer_.Arm(DeadlineIn(context_.executor(), doubt_pause_));
  doubt_pause_ = std::min(2 * doubt_pause_, profile_.last_doubt_pause);
}

void StorvscController::OnMediaTimer() {
  poll_wanted_ = true;
  Kick();
}

void StorvscController::OnDiskAttention() {
  if (ending() || !disks_) return;
  if (disks_->HearDisks()) RequestScan();
}

void StorvscController::Kick() {
  // Before the first scan was asked for there is nobody to ask.
  if (ending() || version_ == 0 || std::exchange(working_, true)) return;
  work_.Spawn(Work());
}

Task<void> StorvscController::Work() {
  while (!ending() && (scan_wanted_ || poll_wanted_)) {
    if (std::exchange(scan_wanted_, false)) {
      scan_status_ = co_await disks_->Scan();
      scanned_ = true;
      ScanAgainIfInDoubt();
      changed_.NotifyAll();
    } else {
      poll_wanted_ = false;
      scan_status_ = co_await disks_->PollMedia();
    }
    // A storm of hints costs a scan now and then.
    const Instant next = DeadlineIn(context_.executor(), profile_.rescan_pause);
    while (!ending() && scan_wanted_ && context_.executor().Now() < next) {
      (void)co_await changed_.Wait(next);
    }
  }
  working_ = false;
  if (ending() || !disks_->has_removable_media() || media_timer_.armed()) co_return;
  media_timer_.Arm(DeadlineIn(context_.executor(), profile_.media_period));
}

void StorvscController::OnUnsolicited(uint32_t operation, std::span<const std::byte> packet) {
  ++counters_.unsolicited;
  switch (operation) {
    case storvsc::kEnumerateBus:
    case storvsc::kRemoveDevice:
      // What comes before END_INITIALIZATION, the first scan sees.
      if (scanned_ || working_) RequestScan();
      return;
    case storvsc::kEventNotification:
      poll_wanted_ = true;
      Kick();
      return;
    case storvsc::kFcHbaData: {
      const auto update = ReadAs<storvsc::PacketOf<storvsc::FcHbaData>>(packet);
      if (!profile_.fibre_channel || !update) break;
      fc_hba_ = update->body;
      return;
    }
    default:
      break;
  }
  ++counters_.unsolicited_ignored;
}

void StorvscController::OnLaneFailed(const absl::Status& reason) { Fail(reason); }

void StorvscController::Fail(const absl::Status& reason) {
  if (!ending()) ended_ = reason;
  changed_.NotifyAll();
  context_.Fail(reason);
}

// ---- The end.

Task<void> StorvscController::PrepareStop(StopReason reason) {
  Executor& executor = context_.executor();
  stopping_ = true;
  changed_.NotifyAll();
  media_timer_.Disarm();
  doubt_timer_.Disarm();
  attention_->Close();
  (void)gate_.Close(executor.Now());
  if (disks_) disks_->RetireAll();
  if (reason != StopReason::kRescinded && ended_.ok()) {
    (void)co_await lanes_.Drain(profile_.drain_limit);
  }
  absl::Status closed = co_await context_.CloseChannels();
  // All of it ends: the channels are closed.
  while (opens_.running() != 0) (void)co_await opens_.Join(DeadlineIn(executor));
  co_await lanes_.EndAll(closed.ok() ? ScsiEnd::kGone : ScsiEnd::kLost);
  // And this, because the lanes are ended. A rescind may have added to it meanwhile.
  while (work_.running() + opens_.running() + gate_.holders() != 0) {
    (void)co_await work_.Join(DeadlineIn(executor));
    (void)co_await opens_.Join(DeadlineIn(executor));
    (void)co_await gate_.Close(DeadlineIn(executor));
  }
}

// ---- Showing it.

std::string StorvscController::NegotiatedVersions() const {
  return version_ == 0 ? std::string() : StorvscVersionName(version_);
}

void StorvscController::Inspect(InspectNode& node) const {
  node.Set("version", NegotiatedVersions());
  node.Set("max_transfer_bytes", properties_.max_transfer_bytes);
  node.Set("subchannels_max", uint32_t{properties_.max_subchannels});
  node.Set("subchannels_asked_for", uint32_t{subchannels_wanted_});
  node.Set("subchannels_failed", counters_.subchannels_failed);
  node.Set("unsolicited", counters_.unsolicited);
  node.Set("unsolicited_ignored", counters_.unsolicited_ignored);
  node.Set("lun_resets", counters_.lun_resets);
  node.Set("bus_resets", counters_.bus_resets);
  node.Set("resets_failed", counters_.resets_failed);
  if (!scan_status_.ok()) node.Set("scan_error", std::string(scan_status_.message()));
  if (!ended_.ok()) node.Set("ended", std::string(ended_.message()));
  if (profile_.fibre_channel) {
    const FcPort port = ActivePort(fc_hba_);
    node.Set("port_name", WwnText(port.port));
    node.Set("node_name", WwnText(port.node));
  }
  if (disks_) disks_->Inspect(node);
}

Task<void> StorvscController::InspectElsewhere(InspectNode& node) {
  const Gate::Holder holder = gate_.Enter();
  if (holder) co_await lanes_.Inspect(node);
}

}  // namespace vmbuskit
