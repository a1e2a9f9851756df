// What lies behind the blocks: WRITE SAME, UNMAP, GET LBA STATUS.
#include <algorithm>
#include <cstring>

#include "devices/storvsc/host/disk_target.h"

namespace vmbuskit {
namespace {

constexpr ScsiOutcome kInvalidField = outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb);
constexpr uint8_t kUnmapBit = 1 << 3;  // of WRITE SAME
constexpr uint32_t kUnmapHeader = 8;
constexpr uint32_t kUnmapDescriptor = 16;
constexpr uint32_t kUnmapDescriptorsMax = 4096;
constexpr uint32_t kStatusHeader = 8;
constexpr uint32_t kStatusDescriptor = 16;

bool IsZero(const ScsiTask& task, uint32_t bytes) {
  std::array<std::byte, 512> part;
  for (uint32_t at = 0; at < bytes; at += part.size()) {
    if (!CopyFromData(task, at, part)) return false;
    if (std::ranges::any_of(part, [](std::byte byte) { return byte != std::byte{0}; }))
      return false;
  }
  return true;
}

}  // namespace

bool DiskTarget::WriteSame(ScsiTask& task, const Range& range) {
  const uint64_t bytes = range.blocks << block_shift_;
  const auto out_of_range = outcome::IllegalRequest(scsi_asc::kLbaOutOfRange);
  if (range.relative) return task.End(kInvalidField);
  if (!Contains(range)) return task.End(out_of_range);
  if (read_only_) return task.End(outcome::WriteProtected());
  if (bytes > options_.write_same_bytes_max) return task.End(out_of_range);
  if (task.data_bytes < block_bytes()) return task.End(kInvalidField);
  if (bytes == 0) return task.End(outcome::Good());
  const BlockInfo& info = device_->info();
  task.moved = static_cast<uint32_t>(bytes);
  task.force_unit_access = false;
  task.position = range.lba << block_shift_;
  task.remaining = bytes;
  if (!info.write_zeroes || bytes > info.write_zeroes_bytes_max || !IsZero(task, block_bytes())) {
    return WithBuffer(task, kRepeat);
  }
  task.operation = BlockOperation::kWriteZeroes;
  task.may_unmap = (task.cdb[1] & kUnmapBit) != 0;
  task.offset = task.position;
  task.bytes = bytes;
  task.segments = {};
  return Start(task, write_through_ ? MakeDurable(task) : kMove);
}

bool DiskTarget::Unmap(ScsiTask& task) {
  const uint32_t length = scsi::ReadBig16(&task.cdb[7]);
  if (!unmap_ || length < kUnmapHeader || length != task.data_bytes) {
    return task.End(kInvalidField);
  }
  std::array<std::byte, kUnmapHeader> header;
  if (!CopyFromData(task, 0, header) || scsi::ReadBig16(&header[0]) != length - 2) {
    return task.End(kInvalidField);
  }
  if (scsi::ReadBig16(&header[2]) != length - kUnmapHeader) {
    return task.End(outcome::IllegalRequest(scsi_asc::kNone));
  }
  task.position = 0;
  task.remaining = (length - kUnmapHeader) / kUnmapDescriptor;
  if (task.remaining > kUnmapDescriptorsMax) {
    return task.End(outcome::IllegalRequest(scsi_asc::kInvalidFieldInParameterList));
  }
  task.moved = 0;
  return NextUnmap(task);
}

// One after the other, each looked at once: those before a bad one are done already.
bool DiskTarget::NextUnmap(ScsiTask& task) {
  while (task.remaining != 0) {
    std::array<std::byte, kUnmapDescriptor> descriptor;
    if (!CopyFromData(task, kUnmapHeader + task.position * kUnmapDescriptor, descriptor)) {
      return task.End(kInvalidField);
    }
    ++task.position;
    --task.remaining;
    const Range range = {.lba = scsi::ReadBig64(&descriptor[0]),
                         .blocks = scsi::ReadBig32(&descriptor[8])};
    if (!device_->info().discard) continue;  // told so by an option; nothing happens
    if (!Contains(range)) return task.End(outcome::IllegalRequest(scsi_asc::kLbaOutOfRange));
    if (range.blocks == 0) continue;
    task.operation = BlockOperation::kDiscard;
    task.force_unit_access = false;
    task.offset = range.lba << block_shift_;
    task.bytes = range.blocks << block_shift_;
    task.segments = {};
    return Start(task, kUnmap);
  }
  return task.End(outcome::Good());
}

bool DiskTarget::GetLbaStatus(ScsiTask& task) {
  if (!unmap_) return task.End(outcome::IllegalRequest(scsi_asc::kInvalidOpcode));
  const uint64_t lba = scsi::ReadBig64(&task.cdb[2]);
  const uint32_t allocation = scsi::ReadBig32(&task.cdb[10]);
  if (lba >= blocks()) return task.End(outcome::IllegalRequest(scsi_asc::kLbaOutOfRange));
  if (allocation != task.data_bytes) return task.End(kInvalidField);
  if (allocation == 0) return task.End(outcome::Good());
  if (allocation < kStatusHeader + kStatusDescriptor) return task.End(kInvalidField);
  task.operation = BlockOperation::kStatus;
  task.force_unit_access = false;
  task.offset = lba << block_shift_;
  task.bytes = (blocks() - lba) << block_shift_;
  task.segments = {};
  task.extents = task.extent_space;
  task.extent_count = 0;
  if (device_->info().status && device_->info().block_bytes == block_bytes()) {
    return Start(task, kLbaStatus);
  }
  task.extent_space[0] = {.bytes = task.bytes, .allocated = true, .zero = false};
  task.extent_count = 1;
  return AnswerLbaStatus(task);
}

bool DiskTarget::AnswerLbaStatus(ScsiTask& task) {
  constexpr uint64_t kBlocksMax = 0xFFFFFFFF;  // of a descriptor
  std::array<std::byte, kStatusHeader + kStatusDescriptor * ScsiTask::kExtents> answer{};
  const uint32_t room =
      std::min<uint32_t>((task.data_bytes - kStatusHeader) / kStatusDescriptor, ScsiTask::kExtents);
  uint32_t count = 0;
  uint64_t lba = task.offset >> block_shift_;
  for (uint32_t i = 0; i < std::min<size_t>(task.extent_count, task.extents.size()); ++i) {
    for (uint64_t left = task.extents[i].bytes >> block_shift_; left != 0 && count < room;) {
      const uint64_t part = std::min(left, kBlocksMax);
      std::byte* const at = &answer[kStatusHeader + count++ * kStatusDescriptor];
      scsi::WriteBig64(at, lba);
      scsi::WriteBig32(at + 8, static_cast<uint32_t>(part));
      at[12] = task.extents[i].allocated ? std::byte{0} : std::byte{1};
      lba += part;
      left -= part;
    }
  }
  scsi::WriteBig32(answer.data(), count * kStatusDescriptor + 4);
  return EndWithData(task, std::span(answer).first(kStatusHeader + count * kStatusDescriptor),
                     task.data_bytes);
}

}  // namespace vmbuskit
