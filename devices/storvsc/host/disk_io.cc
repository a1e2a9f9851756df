// Moving data: READ, WRITE, SYNCHRONIZE CACHE.
#include "devices/storvsc/host/disk_target.h"

namespace vmbuskit {
namespace {

constexpr uint8_t kForceUnitAccess = 1 << 3;  // of Range::flags

}  // namespace

bool DiskTarget::Start(ScsiTask& task, Stage stage) {
  task.stage = stage;
  queue_->Submit(task);
  return false;
}

// What all commands that move blocks between guest and disk check first.
bool DiskTarget::Admits(ScsiTask& task, const Range& range) {
  if (range.relative) {
    task.outcome = outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb);
    return false;
  }
  const uint64_t bytes = range.blocks << block_shift_;  // fewer than 2^33 blocks of at most 64 KiB
  if (range.blocks == 0 || bytes > task.data_bytes || !Contains(range)) {
    task.outcome = outcome::IllegalRequest(scsi_asc::kLbaOutOfRange);
    return false;
  }
  ShortenData(task, bytes);
  task.offset = range.lba << block_shift_;
  task.bytes = bytes;
  task.segments = task.data;
  task.force_unit_access = false;
  task.moved = static_cast<uint32_t>(bytes);
  return true;
}

bool DiskTarget::Read(ScsiTask& task, const Range& range) {
  if (!Admits(task, range)) return true;
  if (task.direction == storvsc::kDataOut) [[unlikely]] {
    return task.End(outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb));
  }
  task.operation = BlockOperation::kRead;
  return Start(task, kMove);
}

bool DiskTarget::Write(ScsiTask& task, const Range& range) {
  if (!Admits(task, range)) return true;
  if (read_only_) return task.End(outcome::WriteProtected());
  task.operation = BlockOperation::kWrite;
  const bool durable = (range.flags & kForceUnitAccess) != 0 || write_through_;
  return Start(task, durable ? MakeDurable(task) : kMove);
}

DiskTarget::Stage DiskTarget::MakeDurable(ScsiTask& task) const {
  const BlockInfo& info = device_->info();
  task.force_unit_access = info.force_unit_access;
  return info.force_unit_access || !info.volatile_cache ? kMove : kFlushAfter;
}

bool DiskTarget::StartFlush(ScsiTask& task) {
  task.operation = BlockOperation::kFlush;
  task.force_unit_access = false;
  task.offset = task.bytes = 0;
  task.segments = {};
  return Start(task, kFlush);
}

bool DiskTarget::Flush(ScsiTask& task) {
  task.moved = 0;
  return StartFlush(task);
}

ScsiOutcome DiskTarget::OutcomeOf(const ScsiTask& task, BlockResult result) const {
  switch (result) {
    case BlockResult::kOk:
      return outcome::Good(task.moved);
    case BlockResult::kInvalid:
      return outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb);
    case BlockResult::kOutOfRange:
      return outcome::OutOfRangeAtBackEnd();
    case BlockResult::kReadOnly:
      return outcome::WriteProtected();
    case BlockResult::kNotSupported:
      return outcome::IllegalRequest(scsi_asc::kInvalidOpcode);
    case BlockResult::kMediumError:
      if (task.operation == BlockOperation::kRead) return outcome::ReadError();
      return task.operation == BlockOperation::kFlush ? outcome::MediumError()
                                                      : outcome::WriteError();
    case BlockResult::kNoSpace:
      return outcome::NoSpace();
    case BlockResult::kConflict:
      return outcome::Conflict();
    case BlockResult::kAborted:
      return outcome::Aborted();
    case BlockResult::kTimedOut:
      return outcome::CheckWithoutSense(storvsc::kSrbTimeout);
    case BlockResult::kGone:
    case BlockResult::kLost:
      return outcome::BackEndGone();
  }
  return outcome::MediumError();
}

}  // namespace vmbuskit
