// What is behind a LUN: takes a command, ends it at once or later. Sans-IO but for its block device: no ring, no
// packet.
//
//   if (target.Execute(task)) Answer(task.outcome);     // else task.OnEnd() follows, exactly once
//
// A task carries everything that its command needs on the way, one block request included, so that nothing is
// allocated. Its data is the guest's memory, which changes whenever the guest likes: every byte of it is looked at
// once.
//
// Thread safety: the executor that the target was made for. Lifetime: a task lives until it ended, and the target
// longer than its tasks. Units: bytes.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_SCSI_TARGET_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_SCSI_TARGET_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "devices/storvsc/host/scsi_outcome.h"
#include "devices/storvsc/protocol.h"
#include "framework/base/saved_state.h"
#include "framework/interfaces/block_device.h"

namespace vmbuskit {

class ScsiTarget;

class ScsiTask : public BlockRequest {
 public:
  static constexpr size_t kExtents = 4;

  // ---- The command, filled in by who submits it.
  std::array<uint8_t, storvsc::kMaxCdbBytes> cdb{};
  uint8_t cdb_length = 0;
  uint8_t direction = storvsc::kNoData;  // storvsc::DataDirection; kDataOut: its data is only read
  uint32_t data_bytes = 0;
  std::span<BlockSegment> data{};  // `data_bytes` in all; a target may shorten it

  // ---- How it ended.
  ScsiOutcome outcome;
  // For targets: the task has ended.
  bool End(const ScsiOutcome& end) {
    outcome = end;
    return true;
  }

  // ---- The target's notes on the way.
  ScsiTarget* target = nullptr;
  uint64_t position = 0;
  uint64_t remaining = 0;
  uint32_t moved = 0;  // bytes, for the outcome
  uint8_t stage = 0;
  std::array<BlockExtent, kExtents> extent_space;

  // The target lets go of it.
  virtual void OnEnd() = 0;

 private:
  inline void OnDone(BlockResult result) final;
};

class ScsiTarget {
 public:
  virtual ~ScsiTarget() = default;

  // True: the task ended, `outcome` says how. False: OnEnd follows, not before this returned.
  [[nodiscard]] virtual bool Execute(ScsiTask& task) = 0;
  // The block request of `task` ended.
  virtual void OnBlockDone(ScsiTask& task, BlockResult result) = 0;
  // What the target itself knows, for a saved host; not its device.
  virtual void Save(StateWriter& state) = 0;
  virtual void Restore(StateReader& state) = 0;
};

inline void ScsiTask::OnDone(BlockResult result) { target->OnBlockDone(*this, result); }

// ---- The guest's side of a task.

// Copies into the task's data from `offset` on as much as there is room for; how much.
inline uint32_t CopyToData(ScsiTask& task, uint32_t offset, std::span<const std::byte> from) {
  uint32_t copied = 0;
  for (const BlockSegment& segment : task.data) {
    if (offset >= segment.bytes) {
      offset -= segment.bytes;
      continue;
    }
    const size_t part = std::min<size_t>(segment.bytes - offset, from.size());
    if (part != 0) std::memcpy(segment.data + offset, from.data(), part);
    from = from.subspan(part);
    copied += static_cast<uint32_t>(part);
    offset = 0;
    if (from.empty()) break;
  }
  return copied;
}

// Copies out of the task's data; false when there is less.
[[nodiscard]] inline bool CopyFromData(const ScsiTask& task, uint64_t offset,
                                       std::span<std::byte> to) {
  for (const BlockSegment& segment : task.data) {
    if (to.empty()) return true;
    if (offset >= segment.bytes) {
      offset -= segment.bytes;
      continue;
    }
    const size_t part = std::min<size_t>(segment.bytes - offset, to.size());
    std::memcpy(to.data(), segment.data + offset, part);
    to = to.subspan(part);
    offset = 0;
  }
  return to.empty();
}

// Drops what lies behind the first `bytes` of the task's data, which has at least so many.
inline void ShortenData(ScsiTask& task, uint64_t bytes) {
  if (bytes == task.data_bytes) return;
  task.data_bytes = static_cast<uint32_t>(bytes);
  size_t count = 0;
  for (uint64_t left = bytes; left != 0; ++count) {
    BlockSegment& segment = task.data[count];
    segment.bytes = static_cast<uint32_t>(std::min<uint64_t>(segment.bytes, left));
    left -= segment.bytes;
  }
  task.data = task.data.first(count);
}

// Ends `task` with as much of `answer` as `allocation` allows.
inline bool EndWithData(ScsiTask& task, std::span<const std::byte> answer, uint64_t allocation) {
  if (task.direction == storvsc::kDataOut && allocation != 0 && !answer.empty()) {
    return task.End(outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb));
  }
  return task.End(outcome::Good(
      CopyToData(task, 0, answer.first(std::min<uint64_t>(answer.size(), allocation)))));
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_SCSI_TARGET_H_
