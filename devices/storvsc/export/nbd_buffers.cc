#include "devices/storvsc/export/nbd_buffers.h"

#include <algorithm>

namespace vmbuskit {

std::span<std::byte> NbdBuffer::From(size_t offset) const {
  if (offset >= bytes_) return {};
  const BlockSegment& segment = segments_[offset / NbdBufferPool::kChunkBytes];
  const size_t inside = offset % NbdBufferPool::kChunkBytes;
  return {segment.data + inside, segment.bytes - inside};
}

NbdBufferPool::NbdBufferPool(BlockDevice& disk, size_t bytes_max)
    : disk_(disk), chunks_max_((bytes_max + kChunkBytes - 1) / kChunkBytes) {
  chunks_.reserve(chunks_max_);
  free_.reserve(chunks_max_);
}

bool NbdBufferPool::Grow() {
  if (chunks_.size() == chunks_max_) return false;
  absl::StatusOr<BlockBuffer> chunk = disk_.AllocateBuffer(kChunkBytes);
  if (!chunk.ok() || chunk->bytes().size() < kChunkBytes) return false;
  chunks_.push_back(std::make_unique<BlockBuffer>(*std::move(chunk)));
  free_.push_back(chunks_.back().get());
  return true;
}

NbdBufferPool::Taken NbdBufferPool::Take(size_t bytes, NbdBuffer& buffer) {
  const size_t count = (bytes + kChunkBytes - 1) / kChunkBytes;
  while (free_.size() < count) {
    if (!Grow()) return in_use_ > 0 ? Taken::kLater : Taken::kNever;
  }
  for (size_t left = bytes; left > 0;) {
    BlockBuffer* const chunk = free_.back();
    free_.pop_back();
    const size_t part = std::min(left, kChunkBytes);
    buffer.chunks_.push_back(chunk);
    buffer.segments_.push_back({chunk->bytes().data(), static_cast<uint32_t>(part), chunk->gpa()});
    left -= part;
  }
  buffer.bytes_ = bytes;
  in_use_ += count;
  return Taken::kYes;
}

void NbdBufferPool::Give(NbdBuffer& buffer) {
  in_use_ -= buffer.chunks_.size();
  free_.insert(free_.end(), buffer.chunks_.begin(), buffer.chunks_.end());
  buffer.chunks_.clear();
  buffer.segments_.clear();
  buffer.bytes_ = 0;
}

void NbdBufferPool::Lose(NbdBuffer& buffer) {
  in_use_ -= buffer.chunks_.size();
  for (BlockBuffer* chunk : buffer.chunks_) *chunk = BlockBuffer();
  buffer.chunks_.clear();
  buffer.segments_.clear();
  buffer.bytes_ = 0;
}

}  // namespace vmbuskit
