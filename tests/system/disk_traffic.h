// Reads and writes on a disk, checked against what must be on it. Several slots at a time, each with a part of the disk
// of its own, so that what a read must give is known whatever the order.
//
//   DiskModel model(ram_disk);                                    // survives the disk's coming and going
//   DiskTraffic traffic(model, disk, executor, {.seed = 7, .requests = 200});
//   traffic.Start();
//   world.Run(5s);
//   EXPECT_TRUE(traffic.ended());
//   EXPECT_EQ(traffic.count(BlockResult::kOk), 200u);
//   model.Check();                                                // every acknowledged byte is there
//
// A write that ends with kGone or kLost may have happened or not: either is right for each of its blocks.
// Thread safety: the simulation's thread. Lifetime: a traffic lives until it ended; the model outlives it.
#ifndef VMBUSKIT_TESTS_SYSTEM_DISK_TRAFFIC_H_
#define VMBUSKIT_TESTS_SYSTEM_DISK_TRAFFIC_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "devices/storvsc/host/ram_disk.h"
#include "framework/bus/condition.h"
#include "framework/interfaces/block_device.h"
#include "framework/task/task.h"
#include "platform/random.h"

namespace vmbuskit {

class DiskModel {
 public:
  static constexpr uint32_t kBlockBytes = 512;
  static constexpr uint64_t kBytes = 1 << 20;

  explicit DiskModel(const RamDisk& disk) : disk_(disk), now_(kBytes), before_(kBytes) {}

  void Write(uint64_t offset, std::span<const std::byte> data, bool certain);
  bool Matches(uint64_t offset, std::span<const std::byte> data) const;
  // Compares with the disk, then believes the disk where both were right.
  void Check();

 private:
  const RamDisk& disk_;
  std::vector<std::byte> now_;
  std::vector<std::byte> before_;  // differs from now_ where a write may not have happened
};

class DiskTraffic {
 public:
  struct Options {
    uint64_t seed = 0;
    uint32_t requests = 200;
    uint32_t slots = 8;
    uint32_t first_slot = 0;  // several traffics on one disk have slots of their own
    bool flushes = true;
  };

  DiskTraffic(DiskModel& model, std::shared_ptr<BlockDevice> disk, Executor& executor,
              const Options& options);
  ~DiskTraffic();

  void Start();
  // No further requests.
  void Stop() { left_ = 0; }
  bool ended() const { return ended_; }
  uint64_t count(BlockResult result) const { return results_[static_cast<size_t>(result)]; }
  uint64_t total() const;

 private:
  static constexpr uint32_t kSlotBytes = 32 * 1024;
  struct Slot;

  Task<void> Run();
  void Next(Slot& slot);
  void OnDone(Slot& slot, BlockResult result);

  DiskModel& model_;
  const std::shared_ptr<BlockDevice> disk_;
  Executor& executor_;
  const Options options_;
  Random random_;
  std::unique_ptr<BlockQueue> queue_;
  BlockBuffer buffer_;
  std::vector<std::unique_ptr<Slot>> slots_;
  uint32_t left_;
  uint32_t active_ = 0;
  bool ended_ = false;
  std::array<uint64_t, 16> results_{};
  Condition changed_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SYSTEM_DISK_TRAFFIC_H_
