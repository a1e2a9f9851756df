#include "devices/storvsc/host/storvsp_controller.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/storvsc/host/disk_target.h"
#include "devices/storvsc/host/dvd_target.h"
#include "framework/base/status.h"

namespace vmbuskit {

StorvspController::StorvspController(VspContext& context, const StorvspOptions& options)
    : context_(&context),
      memory_(context.guest_memory()),
      executor_(context.executor()),
      options_(options),
      reap_(executor_, Callback::To<&StorvspController::Reap>(this)) {}

StorvspController::~StorvspController() = default;

void StorvspController::Abandon() {
  context_ = nullptr;
  for (auto& channel : open_) {
    channel->Close();
    closed_.push_back(std::move(channel));
  }
  open_.clear();
  luns_.DetachAll();
  Reap();
}

void StorvspController::Reap() {
  const size_t holding = closed_.size();
  std::erase_if(closed_, [](const auto& channel) { return channel->under_way() == 0; });
  luns_.Reap();
  if (context_ == nullptr) {
    if (closed_.empty() && !luns_.retired()) delete this;
    return;
  }
  ReplayRestored();
  if (closed_.size() != holding) context_->OnMemoryReleased();
}

absl::Status StorvspController::Attach(const BlockAddress& address,
                                       std::shared_ptr<BlockDevice> device,
                                       const DiskOptions& options) {
  const std::string name =
      absl::StrCat("storvsc disk ", address.path, ":", address.target, ":", address.lun);
  const BlockInfo& info = device->info();
  const bool is_dvd = options.unit == ScsiUnit::kDvd;
  const uint32_t sector_bytes = is_dvd ? DvdTarget::kBlockBytes : options.sector_bytes;
  if (sector_bytes != 0 && (!std::has_single_bit(sector_bytes) || sector_bytes < info.block_bytes ||
                            sector_bytes > DiskTarget::kBufferBytes)) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": sector bytes is ", sector_bytes,
                                                   ", the back end has ", info.block_bytes,
                                                   ", at most ", DiskTarget::kBufferBytes));
  }
  std::unique_ptr<ScsiTarget> target;
  bool usable;
  if (is_dvd) {
    auto dvd = std::make_unique<DvdTarget>(std::move(device), executor_);
    usable = dvd->usable();
    target = std::move(dvd);
  } else {
    auto disk = std::make_unique<DiskTarget>(std::move(device), executor_, options, name,
                                             options_.initiator);
    usable = disk->usable();
    target = std::move(disk);
  }
  if (!usable)
    return absl::UnavailableError(absl::StrCat(name, ": its back end gives no queue for requests"));
  VMBUSKIT_RETURN_IF_ERROR(luns_.Attach(address, std::move(target)));
  NotifyOfDisks();
  return absl::OkStatus();
}

absl::Status StorvspController::Detach(const BlockAddress& address) {
  VMBUSKIT_RETURN_IF_ERROR(luns_.Detach(address));
  NotifyOfDisks();
  return absl::OkStatus();
}

// One pending notification stands for any number of changes.
void StorvspController::NotifyOfDisks() {
  StorvspChannel* const channel = primary();
  if (phase_ != Phase::kReady || version_ < storvsc::kVersion4_2 || channel == nullptr) return;
  const SendResult sent =
      channel->SendMessage(storvsc::kEnumerateBus, storvsc::PacketBytes(version_));
  notification_pending_ = sent == SendResult::kFull;
  if (sent == SendResult::kOk) ++notifications_;
}

void StorvspController::OnRoom() {
  if (notification_pending_) NotifyOfDisks();
}

StorvspChannel* StorvspController::primary() const {
  for (const auto& channel : open_) {
    if (channel->index() == 0 && !channel->closed()) return channel.get();
  }
  return nullptr;
}

StorvspChannel& StorvspController::AddLane(Channel& channel, uint16_t index) {
  open_.push_back(std::make_unique<StorvspChannel>(
      channel, index, memory_, *this,
      StorvspChannel::Limits{.requests_max = options_.requests_max,
                             .transfer_bytes_max = options_.max_transfer_bytes}));
  return *open_.back();
}

absl::Status StorvspController::Open(Channel& channel, uint16_t index) {
  if (index == 0) Restart();
  StorvspChannel& lane = AddLane(channel, index);
  // A sub-channel may come before the end of the initialization: its requests wait in the ring.
  if (index != 0 && phase_ != Phase::kReady) lane.Park();
  lane.Start();
  return absl::OkStatus();
}

void StorvspController::Close(Channel& channel) {
  const auto found = std::ranges::find_if(
      open_, [&](const auto& lane) { return &lane->opened_channel() == &channel; });
  if (found == open_.end()) return;
  (*found)->Close();
  restored_.erase((*found)->index());
  if ((*found)->index() == 0) Restart();
  if ((*found)->under_way() != 0) closed_.push_back(std::move(*found));
  open_.erase(found);
  if (reset_waits) OnCommandEnd();
}

bool StorvspController::HoldsMemory(uint16_t index) const {
  return std::ranges::any_of(
      closed_, [&](const auto& lane) { return lane->index() == index && lane->under_way() != 0; });
}

void StorvspController::Restart() {
  phase_ = Phase::kBegin;
  version_ = 0;
  subchannels_created_ = false;
  notification_pending_ = false;
}

void StorvspController::OnControl(StorvspChannel& channel, StorvspSlot& slot) {
  switch (slot.packet.header.operation) {
    case storvsc::kResetLun:
    case storvsc::kResetAdapter:
    case storvsc::kResetBus:
      return Reset(channel, slot);
    case storvsc::kBeginInitialization:
    case storvsc::kEndInitialization:
    case storvsc::kQueryProtocolVersion:
    case storvsc::kQueryProperties:
    case storvsc::kFcHbaData:
    case storvsc::kCreateSubchannels:
      if (channel.index() != 0) return channel.Answer(slot, storvsc::kStatusInvalidDeviceState);
      return Initialize(channel, slot);
    default:
      return channel.Answer(slot, storvsc::kStatusInvalidParameter);
  }
}

bool StorvspController::AtPhase(StorvspChannel& channel, StorvspSlot& slot, Phase phase) {
  if (phase_ == phase) return true;
  channel.Answer(slot, storvsc::kStatusInvalidDeviceState);
  return false;
}

void StorvspController::Initialize(StorvspChannel& channel, StorvspSlot& slot) {
  switch (slot.packet.header.operation) {
    case storvsc::kBeginInitialization:
      if (!AtPhase(channel, slot, Phase::kBegin)) return;
      phase_ = Phase::kQueryVersion;
      return channel.Answer(slot, storvsc::kStatusSuccess);
    case storvsc::kQueryProtocolVersion:
      return QueryVersion(channel, slot);
    case storvsc::kQueryProperties:
      return QueryProperties(channel, slot);
    case storvsc::kFcHbaData:
      if (options_.kind != StorvspOptions::Kind::kFibreChannel) {
        return channel.Answer(slot, storvsc::kStatusInvalidParameter);
      }
      if (!AtPhase(channel, slot, Phase::kEndInit)) return;
      return channel.Answer(slot, storvsc::kStatusSuccess, options_.wwns);
    case storvsc::kCreateSubchannels:
      return CreateSubchannels(channel, slot);
    default:
      return EndInitialization(channel, slot);
  }
}

void StorvspController::QueryVersion(StorvspChannel& channel, StorvspSlot& slot) {
  if (slot.reply_bytes < sizeof(storvsc::PacketHeader) + sizeof(storvsc::ProtocolVersion)) {
    return channel.Answer(slot, storvsc::kStatusInvalidParameter);
  }
  if (!AtPhase(channel, slot, Phase::kQueryVersion)) return;
  const auto wanted = slot.Body<storvsc::ProtocolVersion>().major_minor;
  const bool known = std::ranges::find(storvsc::kVersions, wanted) != storvsc::kVersions.end() &&
                     wanted >= options_.version_min && wanted <= options_.version_max;
  if (known) {
    version_ = wanted;
    phase_ = Phase::kQueryProperties;
  }
  channel.Answer(slot, known ? storvsc::kStatusSuccess : storvsc::kStatusRevisionMismatch,
                 storvsc::ProtocolVersion{.major_minor = wanted, .revision = 0});
}

uint16_t StorvspController::subchannels_max() const {
  const bool has_any = options_.kind != StorvspOptions::Kind::kIde;
  return has_any && version_ >= storvsc::kVersion5_1 ? options_.max_subchannels : 0;
}

void StorvspController::QueryProperties(StorvspChannel& channel, StorvspSlot& slot) {
  if (!AtPhase(channel, slot, Phase::kQueryProperties)) return;
  phase_ = Phase::kEndInit;
  storvsc::ChannelProperties properties{};
  properties.max_channel_count = subchannels_max();
  properties.flags = version_ >= storvsc::kVersion5_1 ? storvsc::kPropertyMultiChannel : 0;
  properties.max_transfer_bytes = options_.max_transfer_bytes;
  channel.Answer(slot, storvsc::kStatusSuccess, properties);
}

// Windows asks before END_INITIALIZATION, Linux after it.
void StorvspController::CreateSubchannels(StorvspChannel& channel, StorvspSlot& slot) {
  if (slot.reply_bytes < sizeof(storvsc::PacketHeader) + sizeof(storvsc::SubchannelCount)) {
    return channel.Answer(slot, storvsc::kStatusInvalidParameter);
  }
  const bool early = phase_ == Phase::kEndInit && !subchannels_created_;
  if (version_ < storvsc::kVersion5_1 || (!early && phase_ != Phase::kReady)) {
    return channel.Answer(slot, storvsc::kStatusInvalidDeviceState);
  }
  const uint16_t count = slot.Body<storvsc::SubchannelCount>().count;
  if (count > subchannels_max()) {
    return channel.Answer(slot, storvsc::kStatusInvalidParameter);
  }
  if (early) subchannels_created_ = true;
  // The guest waits for exactly so many offers: fewer would be worse than none.
  const bool enough = context_->OfferSubchannels(count) >= count;
  channel.Answer(slot, enough ? storvsc::kStatusSuccess : storvsc::kStatusUnsuccessful);
}

void StorvspController::EndInitialization(StorvspChannel& channel, StorvspSlot& slot) {
  if (!AtPhase(channel, slot, Phase::kEndInit)) return;
  phase_ = Phase::kReady;
  notification_pending_ = false;  // the guest's first scan sees everything
  channel.Answer(slot, storvsc::kStatusSuccess);
  for (const auto& lane : open_) lane->Resume();
}

void StorvspController::Inspect(InspectNode& node) const {
  node.Set("phase", static_cast<uint64_t>(phase_));
  node.Set("version", version_);
  node.Set("luns", luns_.all().size());
  node.Set("notifications", notifications_);
  node.Set("resets", resets_);
  node.Set("closed_channels_with_work", closed_.size());
  for (const auto& lane : open_) lane->Inspect(node.Child(absl::StrCat("channel", lane->index())));
}

}  // namespace vmbuskit
