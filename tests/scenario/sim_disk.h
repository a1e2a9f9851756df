// What a disk of the host stands on in a scenario: a cache that a loss of power empties, stable storage below it, and
// everything that goes wrong with storage. Only blocks that were written take room, so a disk may be larger than 2 TiB.
//
//   auto disk = std::make_shared<SimDisk>(faults, SimDisk::Options{.blocks = 1 << 20, .volatile_cache = true});
//   std::unique_ptr<BlockQueue> queue = disk->OpenQueue(host_executor);
//   disk->DropRequests(sim);              // what was under way ends with kGone, now
//   disk->LosePower();                    // what was not flushed may be gone
//   disk->Peek(block, bytes);             // past everything
//
// The bytes of a request are moved at any moment between its submission and its end; requests overtake each other. One
// that fails may have done its work in part, block by block.
//
// Faults of FaultPlan that it draws: backend_error (medium errors, also of flushes, no space, aborted), backend_stall,
// backend_silent (longer than a guest waits, but not for ever: storage that never answers holds its guest's memory).
//
// Thread safety: one executor for all queues, calls from outside between turns. Lifetime: outlives its queues.
#ifndef VMBUSKIT_TESTS_SCENARIO_SIM_DISK_H_
#define VMBUSKIT_TESTS_SCENARIO_SIM_DISK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "framework/interfaces/block_device.h"
#include "platform/random.h"
#include "tests/scenario/fault_source.h"

namespace vmbuskit {

class SimDiskQueue;

class SimDisk final : public BlockDevice {
 public:
  struct Options {
    uint64_t blocks = 256;
    uint32_t block_bytes = 512;
    uint64_t room_blocks = UINT64_MAX;  // that can hold data; then writes fail for want of space
    bool volatile_cache = true;
    bool force_unit_access = true;
    bool discard = true;
    bool write_zeroes = true;
    bool status = true;
    std::string id = {};
    uint64_t seed = 1;
  };

  SimDisk(FaultSource& faults, const Options& options);
  ~SimDisk() override;

  const BlockInfo& info() const override { return info_; }
  uint64_t bytes() const override { return blocks_ * info_.block_bytes; }
  std::unique_ptr<BlockQueue> OpenQueue(Executor& executor) override;
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override;

  // What is cut off is lost.
  void Resize(uint64_t blocks);
  // Each block that is not on stable storage goes back to what is there, or reaches it at the last moment.
  void LosePower();
  // Ends what is under way with kGone, its bytes not moved any more: the guest that they are of is dead.
  void DropRequests(SimScheduler& sim);

  uint64_t block_count() const { return blocks_; }
  // Of all queues.
  uint32_t under_way() const { return under_way_; }
  // What the block reads as now.
  void Peek(uint64_t block, std::span<std::byte> to) const;

 private:
  friend class SimDiskQueue;

  // A block that was ever written: where its two contents are in the pool.
  struct Block {
    uint64_t number = 0;
    bool dirty = false;   // the cache has something else than the storage
    bool cached = false;  // holds data, which takes room
  };

  std::byte* CacheOf(size_t at) { return pool_.data() + 2 * at * info_.block_bytes; }
  std::byte* StorageOf(size_t at) { return CacheOf(at) + info_.block_bytes; }
  size_t Make(uint64_t block);
  void Stabilize(Block& block, size_t at);
  bool HasRoom(const BlockRequest& request) const;

  // What `request` ends with, drawn now.
  BlockResult Draw(const BlockRequest& request);
  // Carries it out; with an error in part.
  void Move(BlockRequest& request, BlockResult result);
  void MoveBlock(BlockRequest& request, uint64_t block, uint64_t offset_in_request);
  void WriteBlock(uint64_t block, bool durable, const BlockRequest* from, uint64_t at);
  void FlushAll();
  // kStatus: what holds data.
  void Describe(BlockRequest& request) const;

  FaultSource& faults_;
  Random random_;
  BlockInfo info_;
  const uint64_t room_blocks_;
  uint64_t blocks_;
  std::unordered_map<uint64_t, size_t> index_;
  std::vector<Block> written_;
  std::vector<std::byte> pool_;
  uint64_t used_ = 0;  // blocks that hold data
  uint32_t under_way_ = 0;
  std::vector<SimDiskQueue*> queues_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_SIM_DISK_H_
