// The queue of one user of a ScsiDisk: block requests in, SCSI commands out, over the lane of its own executor when
// there is one, else across to another executor's.
//
//   std::unique_ptr<BlockQueue> queue = disk->OpenQueue(executor);      // block_device.h says the rest
//
// A request takes a slot, which is a command; a request that one command cannot carry takes several, one after the
// other as slots become free. Requests that find no slot wait in a list, first come first served. Commands that the
// disk is too busy for, or that a reset or unit attention ended, are sent again, a bounded number of times.
//
// Thread safety: the executor it was opened for. Lifetime: see block_device.h; keeps its disk alive.
// Allocates at construction only. Source: protocol 10 sections 5.1, 5.4 and 7.
#ifndef VMBUSKIT_DEVICES_STORVSC_SCSI_QUEUE_H_
#define VMBUSKIT_DEVICES_STORVSC_SCSI_QUEUE_H_

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "devices/storvsc/scsi_disk.h"
#include "devices/storvsc/scsi_mailbox.h"
#include "devices/storvsc/scsi_pieces.h"
#include "framework/interfaces/block_completions.h"
#include "framework/interfaces/block_device.h"
#include "platform/executor.h"

namespace vmbuskit {

class ScsiQueue final : public BlockQueue {
 public:
  // Of one command: how often it is sent again because of a unit attention, a reset or a lost lane, and how often
  // because the disk is busy, which with the pauses between makes about a minute.
  static constexpr uint8_t kRetriesMax = 8;
  static constexpr uint8_t kBusyRetriesMax = 70;
  static constexpr uint32_t kBounceUnitBytes = 64 * 1024;

  ScsiQueue(std::shared_ptr<ScsiDisk> disk, Executor& executor);
  ~ScsiQueue() override;
  ScsiQueue(const ScsiQueue&) = delete;
  ScsiQueue& operator=(const ScsiQueue&) = delete;

  void Submit(BlockRequest& request) override;
  void SubmitAll(std::span<BlockRequest* const> requests) override;

 private:
  static constexpr uint32_t kNoUnit = UINT32_MAX;

  struct Slot final : public ScsiCommand {
    void OnScsiDone(ScsiEnd end) override {
      if (!across) [[likely]] {
        return queue->Finished(*this, end);
      }
      how = end;
      if (queue->mailbox_.Push(*this)) queue->mail_.Signal();
    }

    ScsiQueue* queue = nullptr;
    Slot* next = nullptr;  // of the free ones, or of those that wait for a busy disk
    BlockRequest* request = nullptr;
    Slot* parent = nullptr;  // the first slot of its request, which may be itself
    bool across = false;     // submitted to a lane of another executor
    // All of its request; a read or write without a copy and with nothing to follow.
    bool simple = false;
    bool moves = false;  // reads or writes: must move all of its bytes
    uint8_t retries = 0;
    uint8_t busy_retries = 0;
    ScsiEnd how = ScsiEnd::kCompleted;  // across: how it ended
    uint32_t unit = kNoUnit;            // of the bounce buffer
    SegmentCursor bounce_at;            // where the bytes in it belong
    BlockSegment own;                   // to describe the unit with

    // Of a parent.
    uint32_t pending = 0;  // commands under way, and one while more are to come
    bool idle = false;     // its command is not under way
    bool flushing = false;
    bool same = false;  // a command of it was a WRITE SAME
    BlockResult result = BlockResult::kOk;
  };

  enum class Built : uint8_t { kYes, kWait, kNo };

  // scsi_queue.cc
  bool StartSimple(BlockRequest& request);
  bool has_more() const { return current_ != nullptr || !waiting_.empty(); }
  void Pump();
  void Begin(BlockRequest& request);
  bool IssuePiece();
  void StopSplitting();
  void Send(Slot& slot);
  void SendAgain(Slot& slot);  // the same, from the other files
  void SendAcross(Slot& slot);
  void PickLane();
  void OnMail();
  Slot* TakeFree();
  void Release(Slot& slot);

  // scsi_queue_end.cc
  void Finished(Slot& slot, ScsiEnd end);
  void FinishedOtherwise(Slot& slot, ScsiEnd end);
  BlockResult ResultOf(Slot& slot, ScsiEnd end, bool& again, bool& later);
  void EndPiece(Slot& slot, BlockResult result);
  void EndRequest(Slot& parent, bool inside_submit);
  void SendLater(Slot& slot);
  void OnBusyTimer();

  // scsi_queue_build.cc
  void AllocateBounce(uint32_t bytes);
  Built Build(Slot& slot, uint64_t& bytes);
  Built BuildTransfer(Slot& slot, uint64_t& bytes);
  Built BuildDiscard(Slot& slot, uint64_t& bytes);
  Built BuildWriteZeroes(Slot& slot, uint64_t& bytes);
  Built BuildStatus(Slot& slot, uint64_t& bytes);
  Built TakeUnit(Slot& slot, uint32_t bytes);
  std::byte* UnitBytes(const Slot& slot) const;
  void GiveUnitBack(Slot& slot, bool lost);
  void ReadStatus(const Slot& slot);
  bool FlushesAfterwards(const BlockRequest& request) const;

  const std::shared_ptr<ScsiDisk> disk_;
  const BlockInfo& info_;
  Executor& executor_;
  const uint32_t block_shift_;

  uint64_t lanes_version_ = 0;  // that direct_ and port_ are of
  ScsiLane* direct_ = nullptr;  // null: across, over port_
  std::shared_ptr<ScsiLanePort> port_;

  std::unique_ptr<Slot[]> slots_;
  Slot* free_ = nullptr;
  uint32_t busy_slots_ = 0;
  boost::intrusive::list<BlockRequest> waiting_;
  // The request that is being cut into pieces.
  Slot* current_ = nullptr;
  uint64_t done_ = 0;
  SegmentCursor at_;

  BlockBuffer bounce_;  // a page of zeros, then units
  uint32_t unit_bytes_ = 0;
  uint32_t units_left_ = 0;  // that are not lost
  bool units_lost_ = false;  // some of them
  std::vector<uint32_t> free_units_;
  std::vector<BlockSegment> zeros_;  // the page of zeros, again and again

  Slot* busy_first_ = nullptr;  // wait for busy_timer_
  Timer busy_timer_;
  ScsiMailbox mailbox_;
  Event mail_;
  BlockCompletions completions_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SCSI_QUEUE_H_
