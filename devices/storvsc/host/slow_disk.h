// For tests: a RAM disk whose requests end when the test says so, and how it says.
//
//   auto disk = std::make_shared<SlowDisk>(RamDisk::Options{});
//   ... guest.StartScsi(...); guest.Run();
//   ASSERT_EQ(disk->waiting(), 1u);
//   disk->End(BlockResult::kOk);                 // the oldest, carried out now
//
// Thread safety: one thread.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_SLOW_DISK_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_SLOW_DISK_H_

#include <cstddef>
#include <deque>
#include <memory>

#include "devices/storvsc/host/ram_disk.h"
#include "framework/interfaces/block_device.h"

namespace vmbuskit {

class SlowDisk final : public BlockDevice {
 public:
  explicit SlowDisk(const RamDisk::Options& options) : ram(options), info_(ram.info()) {}

  const BlockInfo& info() const override { return info_; }
  BlockInfo& mutable_info() { return info_; }
  uint64_t bytes() const override { return ram.bytes(); }
  std::unique_ptr<BlockQueue> OpenQueue(Executor&) override {
    ++queues;
    return std::make_unique<Queue>(*this);
  }
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override {
    return BlockBuffer::OfHeap(bytes);
  }

  size_t waiting() const { return waiting_.size(); }
  const BlockRequest& oldest() const { return *waiting_.front(); }
  // Ends the oldest; kOk: with what the RAM disk makes of it.
  void End(BlockResult result = BlockResult::kOk) {
    BlockRequest& request = *waiting_.front();
    waiting_.pop_front();
    request.OnDone(result == BlockResult::kOk ? ram.Carry(request) : result);
  }
  void EndAll() {
    while (waiting() != 0) End();
  }

  RamDisk ram;
  int queues = 0;  // that are open

 private:
  class Queue final : public BlockQueue {
   public:
    explicit Queue(SlowDisk& disk) : disk_(disk) {}
    ~Queue() override { --disk_.queues; }
    void Submit(BlockRequest& request) override { disk_.waiting_.push_back(&request); }

   private:
    SlowDisk& disk_;
  };

  BlockInfo info_;
  std::deque<BlockRequest*> waiting_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_SLOW_DISK_H_
