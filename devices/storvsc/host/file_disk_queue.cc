#include "devices/storvsc/host/file_disk_queue.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

#include "devices/storvsc/host/segment_copy.h"

namespace vmbuskit {
namespace {

constexpr size_t kZeroBytes = 64 * 1024;
alignas(kPageSize) std::byte zeros[kZeroBytes];  // never written

bool IsWrite(const BlockRequest& request) { return request.operation == BlockOperation::kWrite; }

BlockResult ResultOf(int error) {
  const bool no_space = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return no_space ? BlockResult::kNoSpace : BlockResult::kMediumError;
}

}  // namespace

FileDiskQueue::FileDiskQueue(FileDisk& disk, std::unique_ptr<FileQueue> queue, Executor& executor)
    : disk_(disk),
      queue_(std::move(queue)),
      syncs_(disk.syncs_, *queue_, executor),
      slots_(kSlots),
      completions_(executor) {
  for (Slot& slot : slots_) {
    slot.queue = this;
    free_.push_back(slot);
  }
  if (disk_.file_->alignment() > 1) bounce_ = BlockBuffer::OfHeap(kBounceBytes);
}

FileDiskQueue::~FileDiskQueue() {
  assert(free_.size() == kSlots && waiting_.empty());
  free_.clear();
}

void FileDiskQueue::Submit(BlockRequest& request) {
  const BlockResult checked = CheckBlockRequest(request, disk_.info(), disk_.bytes());
  if (checked != BlockResult::kOk) return completions_.End(request, checked);
  if (request.operation == BlockOperation::kStatus)
    return completions_.End(request, FindStatus(request));
  if (free_.empty()) return waiting_.push_back(request);
  Begin(request);
}

void FileDiskQueue::Begin(BlockRequest& request) {
  Slot& slot = static_cast<Slot&>(free_.front());
  free_.pop_front();
  slot.request = &request;
  slot.done = 0;
  slot.by_writing = false;
  slot.syncing = false;
  slot.bounced = NeedsBounce(request);
  if (slot.bounced && bounce_owner_ != nullptr) return bounce_waiting_.push_back(slot);
  if (slot.bounced) bounce_owner_ = &slot;
  Step(slot);
}

bool FileDiskQueue::NeedsBounce(const BlockRequest& request) const {
  const uint32_t alignment = disk_.file_->alignment();
  if (alignment == 1) return false;
  return std::ranges::any_of(request.segments, [alignment](const BlockSegment& segment) {
    return (reinterpret_cast<uintptr_t>(segment.data) | segment.bytes) % alignment != 0;
  });
}

void FileDiskQueue::Step(Slot& slot) {
  switch (slot.request->operation) {
    case BlockOperation::kRead:
    case BlockOperation::kWrite:
      return slot.bounced ? StepBounced(slot) : StepData(slot);
    case BlockOperation::kFlush:
      return Sync(slot);
    case BlockOperation::kDiscard:
      return Launch(slot, FileOperation::Kind::kPunchHole, slot.request->bytes - slot.done);
    case BlockOperation::kWriteZeroes:
      return StepZeroes(slot);
    case BlockOperation::kStatus:
      return;  // never has a slot
  }
}

void FileDiskQueue::StepData(Slot& slot) {
  uint64_t skip = slot.done;
  uint64_t bytes = 0;
  size_t count = 0;
  for (const BlockSegment& segment : slot.request->segments) {
    if (skip >= segment.bytes) {
      skip -= segment.bytes;
      continue;
    }
    std::byte* const at = segment.data + skip;
    const size_t part = segment.bytes - skip;
    skip = 0;
    bytes += part;
    // Neighbours in memory are one vector.
    if (count > 0 &&
        static_cast<std::byte*>(slot.space[count - 1].iov_base) + slot.space[count - 1].iov_len ==
            at) {
      slot.space[count - 1].iov_len += part;
      continue;
    }
    if (count == kVectors) {
      bytes -= part;
      break;
    }
    slot.space[count++] = {at, part};
  }
  slot.vectors = std::span(slot.space).first(count);
  Launch(slot, IsWrite(*slot.request) ? FileOperation::Kind::kWrite : FileOperation::Kind::kRead,
         bytes);
}

void FileDiskQueue::StepBounced(Slot& slot) {
  const uint64_t bytes = std::min<uint64_t>(slot.request->bytes - slot.done, kBounceBytes);
  if (IsWrite(*slot.request)) CopySegments(*slot.request, slot.done, bounce_.bytes().data(), bytes);
  slot.space[0] = {bounce_.bytes().data(), bytes};
  slot.vectors = std::span(slot.space).first(1);
  Launch(slot, IsWrite(*slot.request) ? FileOperation::Kind::kWrite : FileOperation::Kind::kRead,
         bytes);
}

void FileDiskQueue::StepZeroes(Slot& slot) {
  const uint64_t left = slot.request->bytes - slot.done;
  if (!slot.by_writing) {
    return Launch(
        slot,
        slot.request->may_unmap ? FileOperation::Kind::kPunchHole : FileOperation::Kind::kZeroRange,
        left);
  }
  uint64_t bytes = 0;
  size_t count = 0;
  for (; count < kVectors && bytes < left; ++count) {
    const size_t part = std::min<uint64_t>(left - bytes, kZeroBytes);
    slot.space[count] = {zeros, part};
    bytes += part;
  }
  slot.vectors = std::span(slot.space).first(count);
  Launch(slot, FileOperation::Kind::kWrite, bytes);
}

void FileDiskQueue::Launch(Slot& slot, FileOperation::Kind kind, uint64_t bytes) {
  slot.kind = kind;
  slot.offset = slot.request->offset + slot.done;
  slot.bytes = bytes;
  slot.under_way = bytes;
  queue_->Submit(slot);
}

void FileDiskQueue::Sync(Slot& slot) {
  slot.kind = FileOperation::Kind::kSync;
  slot.under_way = 0;
  slot.syncing = true;
  syncs_.Submit(slot);
}

void FileDiskQueue::OnOperationDone(Slot& slot, int error) {
  if (error != 0 && FallsBack(slot, error)) return Step(slot);
  if (error != 0 && slot.request->operation == BlockOperation::kDiscard &&
      (error == EOPNOTSUPP || error == EINVAL)) {
    error = 0;  // the contents may stay
  }
  if (error != 0) {
    disk_.NoteError(error);
    return End(slot, ResultOf(error));
  }
  if (slot.bounced && !IsWrite(*slot.request))
    CopySegments(*slot.request, slot.done, bounce_.bytes().data(), slot.under_way);
  slot.done += slot.under_way;
  if (slot.done < slot.request->bytes) return Step(slot);
  // A stable write is a write and a sync, so that a full disk is known from a write that was lost.
  const bool stable = !slot.request->force_unit_access || slot.syncing ||
                      slot.request->operation == BlockOperation::kRead;
  if (stable) return End(slot, BlockResult::kOk);
  Sync(slot);
}

// Zeros that the file system cannot make in one way are made in another.
bool FileDiskQueue::FallsBack(Slot& slot, int error) {
  if (slot.request->operation != BlockOperation::kWriteZeroes || slot.by_writing || slot.syncing)
    return false;
  slot.by_writing = error == EOPNOTSUPP || error == EINVAL || error == ENODEV;
  return slot.by_writing;
}

void FileDiskQueue::LeaveBounce() {
  bounce_owner_ = nullptr;
  if (bounce_waiting_.empty()) return;
  bounce_owner_ = static_cast<Slot*>(&bounce_waiting_.front());
  bounce_waiting_.pop_front();
  Step(*bounce_owner_);
}

void FileDiskQueue::End(Slot& slot, BlockResult result) {
  BlockRequest& request = *slot.request;
  if (slot.bounced) LeaveBounce();
  free_.push_front(slot);
  if (!waiting_.empty()) {
    BlockRequest& next = waiting_.front();
    waiting_.pop_front();
    Begin(next);
  }
  request.OnDone(result);
}

BlockResult FileDiskQueue::FindStatus(BlockRequest& request) {
  uint64_t done = 0;
  for (request.extent_count = 0;
       request.extent_count < request.extents.size() && done < request.bytes;) {
    const absl::StatusOr<BlockFile::Extent> extent = disk_.file_->FindExtent(request.offset + done);
    if (!extent.ok() || extent->bytes == 0) return BlockResult::kMediumError;
    // Whole blocks: one that is partly data is data.
    const uint64_t block = disk_.info().block_bytes;
    uint64_t bytes = extent->bytes / block * block;
    bool data = extent->data;
    if (bytes == 0 || (data && extent->bytes % block != 0)) {
      bytes += block;
      data = true;
    }
    bytes = std::min(bytes, request.bytes - done);
    request.extents[request.extent_count++] = {.bytes = bytes, .allocated = data, .zero = !data};
    done += bytes;
  }
  return BlockResult::kOk;
}

}  // namespace vmbuskit
