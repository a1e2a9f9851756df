// The memory of one NBD connection: chunks of a disk's own buffers, made when first needed and used again, up to a
// limit.
//
//   NbdBufferPool pool(disk, 32 << 20);
//   if (pool.Take(request.bytes, buffer) == NbdBufferPool::Taken::kLater) return;   // try again after a Give
//   request.segments = buffer.segments();
//   pool.Give(buffer);
//
// All segments but the last of a buffer are kChunkBytes long. A buffer whose bytes a peer may still touch is given up
// by Lose. Thread safety: none; one owner. Lifetime: the disk outlives the pool, the pool its buffers.
// Allocates chunks and the segment lists of larger requests; both are kept.
#ifndef VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_BUFFERS_H_
#define VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_BUFFERS_H_

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "framework/interfaces/block_device.h"

namespace vmbuskit {

class NbdBuffer {
 public:
  std::span<const BlockSegment> segments() const { return segments_; }
  size_t bytes() const { return bytes_; }
  // The bytes from `offset` on that lie together; empty at the end.
  std::span<std::byte> From(size_t offset) const;

 private:
  friend class NbdBufferPool;
  std::vector<BlockSegment> segments_;
  std::vector<BlockBuffer*> chunks_;
  size_t bytes_ = 0;
};

class NbdBufferPool {
 public:
  static constexpr size_t kChunkBytes = 64 * 1024;
  enum class Taken {
    kYes,
    kLater,  // others have what is missing
    kNever,  // the disk has no memory for it
  };

  NbdBufferPool(BlockDevice& disk, size_t bytes_max);

  // `buffer` is empty; `bytes` is at least 1 and at most bytes_max rounded up to chunks.
  Taken Take(size_t bytes, NbdBuffer& buffer);
  void Give(NbdBuffer& buffer);
  // Lets go of the chunks' pages without ever using them again.
  void Lose(NbdBuffer& buffer);

  size_t chunks() const { return chunks_.size(); }

 private:
  bool Grow();

  BlockDevice& disk_;
  const size_t chunks_max_;
  std::vector<std::unique_ptr<BlockBuffer>> chunks_;
  std::vector<BlockBuffer*> free_;  // the last one was used last
  size_t in_use_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_BUFFERS_H_
