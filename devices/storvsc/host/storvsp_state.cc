// Save and restore. What a target has is carried out again: reads and writes give the same a second time, and nobody
// was told of the first. What had ended keeps its answer.
#include <algorithm>
#include <cstring>
#include <utility>

#include "devices/storvsc/host/storvsp_controller.h"
#include "framework/channel/packet_ranges.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kLunsMax = 1 << 16;
constexpr uint64_t kChannelsMax = 1 << 11;

}  // namespace

std::vector<StorvspSavedRequest> StorvspChannel::SaveRequests() {
  std::vector<const StorvspSlot*> order;
  for (const StorvspSlot& slot : slots_) {
    if (slot.state != StorvspSlot::State::kFree) order.push_back(&slot);
  }
  std::ranges::sort(order, {}, &StorvspSlot::sequence);
  std::vector<StorvspSavedRequest> requests;
  for (const StorvspSlot* slot : order) {
    StorvspSavedRequest& request = requests.emplace_back();
    request.done = slot->state == StorvspSlot::State::kDone;
    request.transaction_id = slot->transaction_id;
    request.bytes = slot->reply_bytes;
    std::memcpy(request.packet.data(), &slot->packet, sizeof slot->packet);
    if (slot->state != StorvspSlot::State::kRunning) continue;
    request.page_offset = slot->page_offset;
    request.pages.assign(slot->pages.begin(), slot->pages.begin() + slot->page_count);
  }
  return requests;
}

void StorvspChannel::RestoreRequests(const std::vector<StorvspSavedRequest>& requests) {
  for (const StorvspSavedRequest& request : requests) {
    if (closed() || free_.empty()) return;  // a state that no Save wrote
    if (request.done) {
      StorvspSlot& slot = free_.front();
      free_.pop_front();
      slot.transaction_id = request.transaction_id;
      slot.reply_bytes = request.bytes;
      std::memcpy(&slot.packet, request.packet.data(), sizeof slot.packet);
      Send(slot);
      continue;
    }
    const std::span<const std::byte> payload = std::span(request.packet).first(request.bytes);
    if (payload.size() < sizeof(storvsc::PacketHeader)) continue;
    Packet packet = {
        .completion_requested = true, .transaction_id = request.transaction_id, .payload = payload};
    std::vector<std::byte> space(GpaDirectBytes(request.pages.size()));
    if (!request.pages.empty()) {
      storvsc::PacketOf<storvsc::ScsiRequest> command;
      std::memcpy(&command, request.packet.data(), sizeof command);
      packet.type = PacketType::kGpaDirect;
      packet.extension = BuildMultiPage(space, request.page_offset,
                                        command.body.data_transfer_length, request.pages);
    }
    Accept(packet);
  }
  UpdateReading();
}

template <typename Archive>
void StorvspController::ExchangeOwn(Archive& archive) {
  archive.AtMost("storvsp phase", phase_, static_cast<uint64_t>(Phase::kReady));
  archive(version_);
  archive(subchannels_created_);
  archive(notification_pending_);
  archive(sequence_);
}

absl::Status StorvspController::Save(StateWriter& state) {
  ExchangeOwn(state);
  state.Count("luns", luns_.all().size(), kLunsMax);
  for (auto& [address, lun] : luns_.all()) {
    state(address.path);
    state(address.target);
    state(address.lun);
    StateWriter of_target;
    lun->target->Save(of_target);
    state.Bytes(std::move(of_target).Take());
  }
  state.Count("channels", open_.size(), kChannelsMax);
  for (const auto& lane : open_) {
    state(lane->index());
    std::vector<StorvspSavedRequest> requests;
    // What the guest is not told yet after a restore is still to come for a lane that waits for one.
    const auto waiting = restored_.find(lane->index());
    if (waiting != restored_.end()) requests = waiting->second;
    for (StorvspSavedRequest& request : lane->SaveRequests())
      requests.push_back(std::move(request));
    state.Count("requests", requests.size(), StorvspSavedRequest::kPagesMax);
    for (StorvspSavedRequest& request : requests) state(request);
  }
  return absl::OkStatus();
}

absl::Status StorvspController::Restore(StateReader& state) {
  ExchangeOwn(state);
  const size_t luns = state.Count("luns", 0, kLunsMax);
  for (size_t i = 0; i < luns && state.ok(); ++i) {
    BlockAddress address;
    state(address.path);
    state(address.target);
    state(address.lun);
    StateReader of_target(state.Bytes());
    // A disk that is not here any more is what the guest will find out by itself.
    StorvspLun* const lun = luns_.Find(address);
    if (lun != nullptr) lun->target->Restore(of_target);
    if (!of_target.ok()) return of_target.status();
  }
  restored_.clear();
  const size_t channels = state.Count("channels", 0, kChannelsMax);
  for (size_t i = 0; i < channels && state.ok(); ++i) {
    uint16_t index = 0;
    state(index);
    auto& requests = restored_[index];
    requests.resize(state.Count("requests", 0, StorvspSavedRequest::kPagesMax));
    for (StorvspSavedRequest& request : requests) state(request);
  }
  return state.status();
}

absl::Status StorvspController::Reopen(Channel& channel, uint16_t index) {
  if (channel.closed()) return absl::OkStatus();
  StorvspChannel& lane = AddLane(channel, index);
  if (index != 0 && phase_ != Phase::kReady) lane.Park();
  if (restored_.contains(index)) lane.Park();  // what lies in the ring comes after what was saved
  lane.Start();
  reap_.Signal();
  return absl::OkStatus();
}

// Not while a back end still uses memory of before: what it wrote late could spoil what the guest reads now.
void StorvspController::ReplayRestored() {
  if (restored_.empty() || !closed_.empty()) return;
  const StorvspSavedRequests restored = std::exchange(restored_, {});
  for (const auto& lane : open_) {
    const auto found = restored.find(lane->index());
    if (found != restored.end()) lane->RestoreRequests(found->second);
    if (lane->index() == 0 || phase_ == Phase::kReady) lane->Resume();
  }
  if (notification_pending_) NotifyOfDisks();
}

}  // namespace vmbuskit
