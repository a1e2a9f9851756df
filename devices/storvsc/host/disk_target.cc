#include "devices/storvsc/host/disk_target.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "devices/storvsc/scsi.h"

namespace vmbuskit {
namespace {

using scsi_asc::kInvalidOpcode;

uint32_t SectorBytes(const DiskOptions& options, const BlockInfo& info) {
  const uint32_t wanted = std::max(options.sector_bytes, info.block_bytes);
  return std::has_single_bit(wanted) ? wanted : info.block_bytes;
}

std::shared_ptr<Reservations> ReservationsOf(const DiskOptions& options) {
  if (!options.reservations_supported) return nullptr;
  return options.reservations ? options.reservations : std::make_shared<Reservations>();
}

}  // namespace

DiskTarget::DiskTarget(std::shared_ptr<BlockDevice> device, Executor& executor,
                       const DiskOptions& options, std::string_view fallback_id, uint32_t initiator)
    : device_(std::move(device)),
      options_(options),
      initiator_(initiator),
      reservations_(ReservationsOf(options)),
      queue_(device_->OpenQueue(executor)) {
  const BlockInfo& info = device_->info();
  block_shift_ = static_cast<uint32_t>(std::countr_zero(SectorBytes(options, info)));
  physical_shift_ = static_cast<uint32_t>(std::countr_zero(std::bit_ceil(std::max(
      {options.physical_sector_bytes, info.physical_block_bytes, SectorBytes(options, info)}))));
  read_only_ = options.read_only || info.read_only;
  write_cache_ = options.write_cache.value_or(info.volatile_cache);
  write_through_ = info.volatile_cache && !write_cache_;
  unmap_ = options.unmap.value_or(info.discard) && !read_only_;
  reported_bytes_ = device_->bytes();
  identity_ = {.vendor = options.vendor,
               .product = options.product,
               .revision = options.revision,
               .serial = options.serial,
               .id = options.disk_id.value_or(DiskIdOf(info.id.empty() ? fallback_id : info.id)),
               .unmap = unmap_};
  identity_.rotation_rate = options.rotation_rate.value_or(info.rotational ? 7200 : 1);
  identity_.unmap_granularity_blocks = std::max(info.discard_granularity >> block_shift_, 1u);
  identity_.write_same_blocks_max = options.write_same_bytes_max >> block_shift_;
}

bool DiskTarget::Execute(ScsiTask& task) {
  task.target = this;
  if (device_->bytes() != reported_bytes_ && SeesNewCapacity(task)) [[unlikely]] {
    latched_ = task.outcome.sense;
    return true;
  }
  if (reservations_ != nullptr && reservations_->Conflicts(initiator_, task)) [[unlikely]] {
    latched_ = {};
    return task.End(outcome::Conflict());
  }
  if (!Dispatch(task)) return false;
  latched_ = task.outcome.has_sense ? task.outcome.sense : scsi::Sense{};
  return true;
}

// Exactly one command learns of it: all but INQUIRY fail; REQUEST SENSE is about just such news.
bool DiskTarget::SeesNewCapacity(ScsiTask& task) {
  if (task.cdb[0] == scsi::kInquiry) return false;
  reported_bytes_ = device_->bytes();
  if (task.cdb[0] != scsi::kRequestSense) return task.End(outcome::CapacityChanged());
  latched_ = outcome::CapacityChanged().sense;
  return false;
}

void DiskTarget::Conclude(ScsiTask& task) {
  latched_ = task.outcome.has_sense ? task.outcome.sense : scsi::Sense{};
  task.OnEnd();
}

// The three high bits of byte 1 count, as with the reference's host: LBAs of 24 bits.
DiskTarget::Range DiskTarget::Range6(const ScsiTask& task) {
  const auto& cdb = task.cdb;
  return {.lba = uint64_t{cdb[1]} << 16 | cdb[2] << 8 | cdb[3], .blocks = cdb[4]};
}
DiskTarget::Range DiskTarget::Range10(const ScsiTask& task) {
  return {.lba = scsi::ReadBig32(&task.cdb[2]),
          .blocks = scsi::ReadBig16(&task.cdb[7]),
          .flags = task.cdb[1],
          .relative = (task.cdb[1] & 1) != 0};
}
DiskTarget::Range DiskTarget::Range12(const ScsiTask& task) {
  return {.lba = scsi::ReadBig32(&task.cdb[2]),
          .blocks = scsi::ReadBig32(&task.cdb[6]),
          .flags = task.cdb[1],
          .relative = (task.cdb[1] & 1) != 0};
}
DiskTarget::Range DiskTarget::Range16(const ScsiTask& task) {
  return {.lba = scsi::ReadBig64(&task.cdb[2]),
          .blocks = scsi::ReadBig32(&task.cdb[10]),
          .flags = task.cdb[1]};
}

bool DiskTarget::Dispatch(ScsiTask& task) {
  switch (task.cdb[0]) {
    case scsi::kRead10:
      return Read(task, Range10(task));
    case scsi::kWrite10:
      return Write(task, Range10(task));
    case scsi::kRead16:
      return Read(task, Range16(task));
    case scsi::kWrite16:
      return Write(task, Range16(task));
    case scsi::kRead6:
      return Read(task, Range6(task));
    case scsi::kWrite6:
      return Write(task, Range6(task));
    case scsi::kRead12:
      return Read(task, Range12(task));
    case scsi::kWrite12:
      return Write(task, Range12(task));
    case scsi::kSynchronizeCache10:
    case scsi::kSynchronizeCache16:
      return Flush(task);
    default:
      return DispatchOther(task);
  }
}

bool DiskTarget::DispatchOther(ScsiTask& task) {
  switch (task.cdb[0]) {
    case scsi::kTestUnitReady:
    case scsi::kFormatUnit:
    case scsi::kReserve6:
    case scsi::kRelease6:
    case scsi::kPreventAllow:
      return task.End(outcome::Good());
    case scsi::kInquiry:
      return Inquire(task);
    case scsi::kRequestSense:
      return RequestSense(task);
    case scsi::kReadCapacity10:
      return ReadCapacity10(task);
    case scsi::kServiceActionIn16:
      return ServiceActionIn(task);
    case scsi::kModeSense6:
      return ModeSense(task, /*long_form=*/false);
    case scsi::kModeSense10:
      return ModeSense(task, /*long_form=*/true);
    case scsi::kModeSelect6:
      return ModeSelect(task, /*long_form=*/false);
    case scsi::kModeSelect10:
      return ModeSelect(task, /*long_form=*/true);
    case scsi::kStartStopUnit:
      return StartStop(task);
    case scsi::kSendDiagnostic:
      return SendDiagnostic(task);
    default:
      return DispatchRare(task);
  }
}

bool DiskTarget::DispatchRare(ScsiTask& task) {
  switch (task.cdb[0]) {
    case scsi::kUnmap:
      return Unmap(task);
    case scsi::kWriteSame10:
      return WriteSame(task, Range10(task));
    case scsi::kWriteSame16:
      return WriteSame(task, Range16(task));
    case scsi::kVerify10:
      return Verify(task, Range10(task));
    case scsi::kVerify12:
      return Verify(task, Range12(task));
    case scsi::kVerify16:
      return Verify(task, Range16(task));
    case scsi::kWriteAndVerify10:
      return WriteAndVerify(task, Range10(task));
    case scsi::kWriteAndVerify12:
      return WriteAndVerify(task, Range12(task));
    case scsi::kWriteAndVerify16:
      return WriteAndVerify(task, Range16(task));
    case scsi::kPersistentReserveIn:
      if (reservations_ != nullptr) return reservations_->In(task);
      break;
    case scsi::kPersistentReserveOut:
      if (reservations_ != nullptr) return reservations_->Out(initiator_, task);
      break;
    default:
      break;
  }
  return task.End(outcome::IllegalRequest(kInvalidOpcode));
}

void DiskTarget::OnBlockDone(ScsiTask& task, BlockResult result) {
  if (result == BlockResult::kOk && task.stage == kMove) [[likely]] {
    task.outcome = outcome::Good(task.moved);
    return Conclude(task);
  }
  if (!GoesOn(task, result)) Conclude(task);
}

bool DiskTarget::GoesOn(ScsiTask& task, BlockResult result) {
  bool ended = true;
  if (task.stage == kUnmap) {
    ended = NextUnmap(task);  // what the back end thinks of it is not the guest's concern
  } else if (result != BlockResult::kOk) {
    task.outcome = OutcomeOf(task, result);
  } else if (task.stage == kFlushAfter) {
    ended = StartFlush(task);
  } else if (task.stage == kLbaStatus) {
    ended = AnswerLbaStatus(task);
  } else if (task.stage == kFlush) {
    task.outcome = outcome::Good(task.moved);
  } else {
    ended = NextStage(task);
  }
  if (ended) LeaveBuffer(task);
  return !ended;
}

template <typename Archive>
void DiskTarget::Exchange(Archive& archive) {
  archive(reported_bytes_);
  for (uint8_t* part : {&latched_.key, &latched_.asc, &latched_.ascq}) archive(*part);
  if (reservations_ == nullptr) return;
  if constexpr (Archive::kLoading) {
    reservations_->Restore(archive);
  } else {
    reservations_->Save(archive);
  }
}

template void DiskTarget::Exchange(StateWriter& archive);
template void DiskTarget::Exchange(StateReader& archive);

}  // namespace vmbuskit
