// A disk in memory of the process. Sparse: 64 KiB at a time are allocated by the first write, so that a large disk
// costs what is written to it.
//
//   auto disk = std::make_shared<RamDisk>(RamDisk::Options{.bytes = uint64_t{1} << 30});
//   std::unique_ptr<BlockQueue> queue = disk->OpenQueue(executor);
//   disk->Resize(uint64_t{2} << 30);
//
// Thread safety: as block_device.h: queues on several executors at a time. Of requests that overlap in time and in
// blocks, each 4 KiB is read or written whole, one after the other; in which order nobody can tell, as with a disk.
// Resize, Peek and Save: while no request is under way. Lifetime: outlives its queues.
// Memory is moved inside Submit. What was discarded reads as zeros; its memory stays with the disk, because a queue of
// another executor may be about to use it.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_RAM_DISK_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_RAM_DISK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "framework/interfaces/block_device.h"

namespace vmbuskit {

class StateReader;
class StateWriter;

class RamDisk final : public BlockDevice {
 public:
  static constexpr uint32_t kChunkBytes = 64 * 1024;
  static constexpr uint64_t kBytesMax = uint64_t{1} << 44;

  struct Options {
    uint64_t bytes = uint64_t{64} << 20;  // a multiple of block_bytes, at most kBytesMax
    uint32_t block_bytes = 512;
    bool read_only = false;
    std::string id = {};
  };

  RamDisk() : RamDisk(Options{}) {}
  explicit RamDisk(const Options& options);
  ~RamDisk() override;

  const BlockInfo& info() const override { return info_; }
  uint64_t bytes() const override { return bytes_.load(std::memory_order_acquire); }
  std::unique_ptr<BlockQueue> OpenQueue(Executor& executor) override;
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override;

  // Another size, at most kBytesMax; what is cut off is lost.
  void Resize(uint64_t bytes);
  // The bytes from `offset` on, past everything; zeros where nothing was written.
  void Peek(uint64_t offset, std::span<std::byte> to) const;
  bool Poke(uint64_t offset, std::span<const std::byte> from);  // false: no memory
  uint64_t bytes_allocated() const { return allocated_.load(std::memory_order_relaxed); }

  // The contents, as part of the saved state of what the disk belongs to.
  void Save(StateWriter& state) const;
  void Restore(StateReader& state);

  // For its queues: carries the request out.
  BlockResult Carry(BlockRequest& request);

 private:
  struct Chunk {
    std::atomic<std::byte*> data = nullptr;  // null: zeros
    std::atomic<bool> holds_data = false;    // false: all zeros, for kStatus and Save
    std::atomic<uint16_t> held = 0;          // a bit for each 4 KiB that somebody reads or writes
  };
  class Hold;
  static constexpr uint64_t kChunksPerGroup = 512;
  static constexpr uint64_t kGroupBytes = kChunksPerGroup * kChunkBytes;
  struct Group {
    ~Group();
    Chunk chunks[kChunksPerGroup];
  };

  // Null where nothing was ever written.
  Chunk* Find(uint64_t offset) const;
  Chunk* Make(uint64_t offset);  // null: no memory
  void Zero(uint64_t offset, uint64_t bytes);
  void FillStatus(BlockRequest& request) const;

  BlockInfo info_;
  std::atomic<uint64_t> bytes_;
  uint64_t group_count_;
  std::unique_ptr<std::atomic<Group*>[]> groups_;
  std::atomic<uint64_t> allocated_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_RAM_DISK_H_
