// One disk of a storvsc controller: a BlockDevice over the controller's lanes.
//
//   auto disk = std::make_shared<ScsiDisk>(ScsiDisk::Options{
//       .address = address, .info = DescribeDisk(facts, limits),
//       .write_same_unmaps = WriteSameUnmapsToZero(facts), .bytes = facts.capacity.bytes(),
//       .lanes = lanes, .memory = &context.memory(), .pages = &context.pages(), .attention = attention});
//   disk->Resize(bytes);          // a rescan found another size
//   disk->Retire();               // the LUN or the controller is going: what is submitted from now on ends with kGone
//
// What is under way when it retires ends as the lanes end it, so retire first, then drain and close the lanes. A
// command that a lane ended with kGone is sent over another one while the disk is not retired.
//
// What the disk learns by the way goes to its controller through `attention`, which is signalled from any thread; its
// handler asks TakeLunGone and TakeRescanWanted.
//
// Thread safety: any thread, but a queue is its executor's.
// Lifetime: shared by controller, users and queues; may outlive the controller once it is retired. `memory` and
// `pages` outlive every queue and buffer.
// Source: protocol 10 sections 5 and 7.
#ifndef VMBUSKIT_DEVICES_STORVSC_SCSI_DISK_H_
#define VMBUSKIT_DEVICES_STORVSC_SCSI_DISK_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "devices/storvsc/scsi_lanes.h"
#include "devices/storvsc/sender_gate.h"
#include "framework/interfaces/block_controller.h"
#include "framework/interfaces/block_device.h"
#include "platform/memory.h"

namespace vmbuskit {

class ScsiDisk final : public BlockDevice, public std::enable_shared_from_this<ScsiDisk> {
 public:
  struct Options {
    BlockAddress address = {};
    BlockInfo info = {};             // DescribeDisk
    bool write_same_unmaps = false;  // WriteSameUnmapsToZero
    uint64_t bytes = 0;              // CapacityFacts::bytes
    std::shared_ptr<ScsiLanes> lanes = nullptr;
    GuestMemory* memory = nullptr;
    PageAllocator* pages = nullptr;
    std::shared_ptr<SharedEvent> attention = nullptr;  // null: nobody wants to know
    // Guest pages of each queue for data that lie where the host cannot reach them; less when there are no more.
    uint32_t bounce_bytes = 512 * 1024;
    uint32_t timeout_seconds = ScsiCommand::kDefaultTimeoutSeconds;
  };

  explicit ScsiDisk(Options options);

  const BlockInfo& info() const override { return options_.info; }
  uint64_t bytes() const override { return bytes_.load(std::memory_order_relaxed); }
  std::unique_ptr<BlockQueue> OpenQueue(Executor& executor) override;
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override;

  void Resize(uint64_t bytes) { bytes_.store(bytes, std::memory_order_relaxed); }
  void Retire() { retired_.store(true, std::memory_order_release); }
  bool retired() const { return retired_.load(std::memory_order_acquire); }

  // Since the last call: the host said that there is no such LUN; that something about its LUNs is another now.
  bool TakeLunGone() { return lun_gone_.exchange(false, std::memory_order_acq_rel); }
  bool TakeRescanWanted() { return rescan_wanted_.exchange(false, std::memory_order_acq_rel); }

  // ---- For its queues.
  const Options& options() const { return options_; }
  void ReportLunGone() { Report(lun_gone_); }
  void ReportRescanWanted() { Report(rescan_wanted_); }
  // Whether WRITE SAME is worth a try: the disk said that it takes it, and never refused one.
  bool writes_same() const {
    return options_.info.write_zeroes && !refuses_write_same_.load(std::memory_order_relaxed);
  }
  void ForgetWriteSame() { refuses_write_same_.store(true, std::memory_order_relaxed); }

 private:
  void Report(std::atomic<bool>& flag) {
    if (flag.exchange(true, std::memory_order_acq_rel)) return;
    if (options_.attention != nullptr) options_.attention->Signal();
  }

  const Options options_;
  std::atomic<uint64_t> bytes_;
  std::atomic<bool> retired_ = false;
  std::atomic<bool> lun_gone_ = false;
  std::atomic<bool> rescan_wanted_ = false;
  std::atomic<bool> refuses_write_same_ = false;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SCSI_DISK_H_
