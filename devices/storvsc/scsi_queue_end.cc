// The way of an answer back to its request.
#include <algorithm>
#include <utility>

#include "devices/storvsc/scsi_cdb.h"
#include "devices/storvsc/scsi_queue.h"
#include "devices/storvsc/scsi_result.h"

namespace vmbuskit {
namespace {

constexpr Duration kShortestPause = std::chrono::milliseconds(1);
constexpr Duration kLongestPause = std::chrono::seconds(1);

}  // namespace

void ScsiQueue::Finished(Slot& slot, ScsiEnd end) {
  if (!slot.simple || end != ScsiEnd::kCompleted || !slot.succeeded() ||
      slot.transferred != slot.bytes) [[unlikely]] {
    return FinishedOtherwise(slot, end);
  }
  BlockRequest& request = *slot.request;
  Release(slot);
  if (has_more()) Pump();
  request.OnDone(BlockResult::kOk);
}

void ScsiQueue::FinishedOtherwise(Slot& slot, ScsiEnd end) {
  bool again = false;
  bool later = false;
  const BlockResult result = ResultOf(slot, end, again, later);
  if (again) return SendAgain(slot);
  if (later) return SendLater(slot);
  EndPiece(slot, result);
  Pump();
}

BlockResult ScsiQueue::ResultOf(Slot& slot, ScsiEnd end, bool& again, bool& later) {
  switch (end) {
    case ScsiEnd::kRefused:
      return BlockResult::kInvalid;
    case ScsiEnd::kLost:
      return BlockResult::kLost;
    case ScsiEnd::kGone:
      // The lane is gone, the disk perhaps not; nobody carries it out any more, so it may go over another lane.
      if (disk_->options().lanes->version() != lanes_version_) PickLane();
      again = !disk_->retired() && port_ != nullptr && slot.retries++ < kRetriesMax;
      return BlockResult::kGone;
    case ScsiEnd::kCompleted:
      break;
  }
  const ScsiVerdict verdict = JudgeScsi(slot);
  if (verdict.result == BlockResult::kOk && slot.moves && slot.transferred != slot.bytes) {
    // How much arrived of one that the device recovered from an error, is not believed (scsi_command.h).
    again = !slot.succeeded() && slot.retries++ < kRetriesMax;
    return BlockResult::kMediumError;
  }
  if (verdict.lun_gone) disk_->ReportLunGone();
  if (verdict.rescan) disk_->ReportRescanWanted();
  if (disk_->retired() && verdict.action != ScsiAction::kEnd) return BlockResult::kGone;
  again = verdict.action == ScsiAction::kRetry && slot.retries++ < kRetriesMax;
  later = verdict.action == ScsiAction::kRetryLater && slot.busy_retries++ < kBusyRetriesMax;
  return verdict.result;
}

void ScsiQueue::EndPiece(Slot& slot, BlockResult result) {
  Slot& parent = *slot.parent;
  const BlockRequest& request = *parent.request;
  if (slot.unit != kNoUnit) {
    if (result == BlockResult::kOk && request.operation == BlockOperation::kRead) {
      CopyToSegments({UnitBytes(slot), slot.bytes}, request.segments, slot.bounce_at);
    } else if (result == BlockResult::kOk && request.operation == BlockOperation::kStatus) {
      ReadStatus(slot);
    }
    GiveUnitBack(slot, result == BlockResult::kLost);
  }
  // That the host may still use memory outweighs whatever else went wrong.
  if (parent.result == BlockResult::kOk || result == BlockResult::kLost) parent.result = result;
  if (&slot == &parent) {
    parent.idle = true;
  } else {
    Release(slot);
  }
  if (--parent.pending == 0) EndRequest(parent, /*inside_submit=*/false);
}

void ScsiQueue::EndRequest(Slot& parent, bool inside_submit) {
  BlockRequest& request = *parent.request;
  BlockResult result = parent.result;
  if (result == BlockResult::kOk && !parent.flushing && FlushesAfterwards(request)) {
    parent.flushing = true;
    parent.pending = 1;
    parent.idle = false;
    parent.simple = parent.moves = false;
    parent.unit = kNoUnit;
    parent.direction = storvsc::kNoData;
    parent.bytes = 0;
    SetFlushCdb(parent);
    return SendAgain(parent);
  }
  Release(parent);
  if (result == BlockResult::kNotSupported) {
    // Of several that the disk refuses together, each.
    if (request.operation == BlockOperation::kWriteZeroes && parent.same) {
      disk_->ForgetWriteSame();
      return waiting_.push_front(request);  // whoever called pumps, and then zeros go over the wire
    }
    // What the disk does not tell is data; what has no cache needs no flush.
    if (request.operation == BlockOperation::kStatus) {
      request.extents[0] = {.bytes = request.bytes};
      request.extent_count = 1;
      result = BlockResult::kOk;
    } else if (request.operation == BlockOperation::kFlush && !info_.volatile_cache) {
      result = BlockResult::kOk;
    }
  }
  if (inside_submit) return completions_.End(request, result);
  request.OnDone(result);
}

// Those that a busy disk turned away are sent together, after the pause of the one that came first.
void ScsiQueue::SendLater(Slot& slot) {
  slot.next = std::exchange(busy_first_, &slot);
  if (busy_timer_.armed()) return;
  const uint32_t doublings = std::min<uint32_t>(slot.busy_retries - 1u, 10);
  busy_timer_.Arm(executor_.Now() + std::min(kShortestPause * (1 << doublings), kLongestPause));
}

void ScsiQueue::OnBusyTimer() {
  Slot* last_first = std::exchange(busy_first_, nullptr);
  Slot* first = nullptr;
  while (last_first != nullptr) {
    Slot* const next = last_first->next;
    last_first->next = first;
    first = std::exchange(last_first, next);
  }
  while (first != nullptr) {
    Slot& slot = *first;
    first = first->next;
    if (disk_->retired()) {
      EndPiece(slot, BlockResult::kGone);
    } else {
      SendAgain(slot);
    }
  }
  Pump();
}

}  // namespace vmbuskit
