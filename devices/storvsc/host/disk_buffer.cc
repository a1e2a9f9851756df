// Commands that need memory of the host's own: WRITE SAME repeats a block in it, verification reads back into it. There
// is one buffer, and they take turns.
#include <algorithm>
#include <cstring>

#include "devices/storvsc/host/disk_target.h"

namespace vmbuskit {
namespace {

constexpr ScsiOutcome kInvalidField = outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb);

uint8_t ByteCheck(const ScsiTask& task) { return task.cdb[1] >> 1 & 3; }

// Is the task's data from `offset` on what is in `bytes`?
bool DataEquals(const ScsiTask& task, uint64_t offset, std::span<const std::byte> bytes) {
  for (const BlockSegment& segment : task.data) {
    if (offset >= segment.bytes) {
      offset -= segment.bytes;
      continue;
    }
    const size_t part = std::min<size_t>(segment.bytes - offset, bytes.size());
    if (std::memcmp(segment.data + offset, bytes.data(), part) != 0) return false;
    bytes = bytes.subspan(part);
    offset = 0;
    if (bytes.empty()) return true;
  }
  return bytes.empty();
}

}  // namespace

// Without BYTCHK a verification has nothing to compare: the range is all that is looked at.
bool DiskTarget::Verify(ScsiTask& task, const Range& range) {
  if (range.relative) return task.End(kInvalidField);
  if (!Contains(range)) return task.End(outcome::IllegalRequest(scsi_asc::kLbaOutOfRange));
  if (ByteCheck(task) == 0 || range.blocks == 0) return task.End(outcome::Good());
  if (ByteCheck(task) != 1) return task.End(kInvalidField);
  if (!Admits(task, range)) return true;
  task.position = task.offset;
  task.remaining = task.bytes;
  return WithBuffer(task, kCompare);
}

bool DiskTarget::WriteAndVerify(ScsiTask& task, const Range& range) {
  if (!Admits(task, range)) return true;
  if (ByteCheck(task) > 1) return task.End(kInvalidField);
  if (read_only_) return task.End(outcome::WriteProtected());
  task.operation = BlockOperation::kWrite;
  task.position = task.offset;
  task.remaining = task.bytes;
  return Start(task, MakeDurable(task) == kMove ? kVerifyWritten : kVerifyFlush);
}

// Goes on with what comes after a part of a verification, or of WRITE SAME, succeeded.
bool DiskTarget::NextStage(ScsiTask& task) {
  switch (task.stage) {
    case kVerifyFlush:
      (void)StartFlush(task);
      task.stage = kVerifyWritten;
      return false;
    case kVerifyWritten:
      return WithBuffer(task, kCompare);
    case kCompare:
      if (ByteCheck(task) == 1 &&
          !DataEquals(task, task.moved - task.remaining,
                      std::span(buffer_.get(), static_cast<size_t>(task.bytes)))) {
        return task.End(outcome::Miscompare());
      }
      [[fallthrough]];
    default:
      task.position += task.bytes;
      task.remaining -= task.bytes;
      if (task.remaining != 0) return StartPart(task);
      if (task.stage == kRepeat && write_through_ && !device_->info().force_unit_access) {
        LeaveBuffer(task);
        return StartFlush(task);
      }
      return task.End(outcome::Good(task.moved));
  }
}

bool DiskTarget::WithBuffer(ScsiTask& task, Stage stage) {
  task.stage = stage;
  if (buffer_ == nullptr) buffer_ = std::make_unique<std::byte[]>(kBufferBytes);
  waiting_.push_back(task);
  if (buffer_user_ == nullptr) StartNext();
  return false;
}

void DiskTarget::StartNext() {
  if (waiting_.empty()) return;
  auto& task = static_cast<ScsiTask&>(waiting_.front());
  waiting_.pop_front();
  buffer_user_ = &task;
  if (task.stage == kRepeat) {
    const std::span<std::byte> first(buffer_.get(), block_bytes());
    // Its length was looked at before the task came to wait.
    if (!CopyFromData(task, 0, first)) std::ranges::fill(first, std::byte{0});
    for (uint32_t at = block_bytes(); at < kBufferBytes; at += block_bytes()) {
      std::memcpy(buffer_.get() + at, first.data(), first.size());
    }
  }
  (void)StartPart(task);
}

bool DiskTarget::StartPart(ScsiTask& task) {
  task.operation = task.stage == kRepeat ? BlockOperation::kWrite : BlockOperation::kRead;
  task.force_unit_access =
      task.stage == kRepeat && write_through_ && device_->info().force_unit_access;
  task.offset = task.position;
  task.bytes = std::min<uint64_t>(task.remaining, kBufferBytes);
  buffer_segment_ = {.data = buffer_.get(), .bytes = static_cast<uint32_t>(task.bytes)};
  task.segments = std::span(&buffer_segment_, 1);
  queue_->Submit(task);
  return false;
}

void DiskTarget::LeaveBuffer(const ScsiTask& task) {
  if (buffer_user_ != &task) return;
  buffer_user_ = nullptr;
  StartNext();
}

}  // namespace vmbuskit
