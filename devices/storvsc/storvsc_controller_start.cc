// From an offer to a running controller. Source: protocol 10 section 4.
#include <algorithm>

#include "devices/storvsc/storvsc_controller.h"

namespace vmbuskit {

Task<absl::Status> StorvscController::Start() {
  absl::Status status = co_await lanes_.OpenPrimary();
  if (!status.ok()) co_return status;
  ScsiLane& primary = lanes_.primary();
  if (primary.closed()) co_return ended_.ok() ? absl::UnavailableError("rescinded") : ended_;
  handshake_.emplace(*primary.channel());
  caller_.emplace(context_, lanes_.shared_primary());
  probe_.emplace(*caller_);
  disks_.emplace(context_, *probe_, profile_.topology, lanes_.shared(), attention_);
  disks_->SetListener(listener_);
  status = co_await Initialize();
  if (!status.ok()) co_return status;
  lanes_.Serve();
  RequestScan();
  // The scan ends: its commands are answered, or the channel is ended.
  while (!scanned_ && ended_.ok()) co_await changed_.Wait();
  if (!ended_.ok()) co_return ended_;
  co_return scan_status_;
}

Task<absl::Status> StorvscController::Initialize() {
  absl::Status status = co_await handshake_->Begin();
  if (!status.ok()) co_return status;
  absl::StatusOr<uint16_t> version = co_await handshake_->NegotiateVersion(profile_.versions);
  if (!version.ok()) co_return version.status();
  version_ = *version;
  if (lanes_.primary().closed()) co_return absl::UnavailableError("the channel ended");
  lanes_.SetVersion(version_);
  absl::StatusOr<StorvscProperties> properties = co_await handshake_->QueryProperties();
  if (!properties.ok()) co_return properties.status();
  properties_ = *properties;
  properties_.max_transfer_bytes =
      std::min({properties_.max_transfer_bytes, profile_.max_transfer_bytes,
                std::max<uint32_t>(lanes_.primary().max_bytes(), kPageSize)});
  disks_->SetLimits({.max_transfer_bytes = properties_.max_transfer_bytes,
                     .version = version_,
                     .queue_depth = profile_.queue_depth,
                     .bounce_bytes = profile_.bounce_bytes,
                     .timeout_seconds = profile_.timeout_seconds});
  if (profile_.fibre_channel) {
    absl::StatusOr<storvsc::FcHbaData> hba = co_await handshake_->QueryFcHbaData();
    if (!hba.ok()) co_return hba.status();
    fc_hba_ = *hba;
  }
  if (profile_.subchannels_before_end) {
    status = co_await AskForSubchannels();
    if (!status.ok()) co_return status;
    co_await OpenSubchannels();
  }
  status = co_await handshake_->End();
  if (!status.ok()) co_return status;
  if (!profile_.subchannels_before_end) {
    status = co_await AskForSubchannels();
    if (!status.ok()) co_return status;
    co_await OpenSubchannels();
  }
  co_return absl::OkStatus();
}

// A host that refuses costs speed, nothing else.
Task<absl::Status> StorvscController::AskForSubchannels() {
  const uint32_t useful = std::max(context_.cpu_count(), 1u) - 1;
  const auto count = static_cast<uint16_t>(std::min<uint32_t>(useful, properties_.max_subchannels));
  if (!profile_.subchannels || count == 0) co_return absl::OkStatus();
  absl::Status status = co_await handshake_->CreateSubchannels(count);
  if (status.ok()) subchannels_wanted_ = count;
  if (absl::IsFailedPrecondition(status)) {
    ++counters_.subchannels_failed;
    co_return absl::OkStatus();
  }
  co_return status;
}

Task<void> StorvscController::OpenSubchannels() {
  if (subchannels_wanted_ == 0) co_return;
  (void)co_await context_.WaitForSubchannels(subchannels_wanted_, profile_.subchannel_limit);
  opening_ = true;  // those that come later
  for (uint32_t index = 1; index <= subchannels_wanted_; ++index) {
    co_await OpenSubchannel(static_cast<uint16_t>(index));
  }
}

Task<void> StorvscController::OpenSubchannel(uint16_t index) {
  if (ending() || lanes_.is_open(index)) co_return;
  absl::Status status = co_await lanes_.OpenSubchannel(index);
  // Not offered yet, or being opened already: no failure.
  const bool failed =
      !status.ok() && !absl::IsNotFound(status) && !absl::IsFailedPrecondition(status);
  if (failed) ++counters_.subchannels_failed;
}

void StorvscController::OnSubchannelOffered(uint16_t index) {
  // Those beyond what was asked for are not touched (section 9).
  if (opening_ && !ending() && index >= 1 && index <= subchannels_wanted_) {
    opens_.Spawn(OpenSubchannel(index));
  }
}

void StorvscController::OnSubchannelRescinded(uint16_t index) {
  opens_.Spawn(lanes_.EndSubchannel(index));
}

}  // namespace vmbuskit
