// The way of a request to the host; scsi_queue_build.cc fills commands in, scsi_queue_end.cc is the way back.
#include "devices/storvsc/scsi_queue.h"

#include <bit>
#include <cassert>
#include <optional>
#include <utility>

#include "devices/storvsc/scsi_cdb.h"

namespace vmbuskit {

ScsiQueue::ScsiQueue(std::shared_ptr<ScsiDisk> disk, Executor& executor)
    : disk_(std::move(disk)),
      info_(disk_->info()),
      executor_(executor),
      block_shift_(static_cast<uint32_t>(std::countr_zero(info_.block_bytes))),
      slots_(std::make_unique<Slot[]>(info_.queue_depth)),
      busy_timer_(executor, Callback::To<&ScsiQueue::OnBusyTimer>(this)),
      mail_(executor, Callback::To<&ScsiQueue::OnMail>(this)),
      completions_(executor) {
  for (uint32_t i = info_.queue_depth; i-- > 0;) {
    Slot& slot = slots_[i];
    slot.queue = this;
    slot.address = disk_->options().address;
    slot.timeout_seconds = disk_->options().timeout_seconds;
    slot.next = free_;
    free_ = &slot;
  }
  AllocateBounce(disk_->options().bounce_bytes);
}

ScsiQueue::~ScsiQueue() { assert(busy_slots_ == 0 && !has_more() && completions_.empty()); }

inline void ScsiQueue::Send(Slot& slot) {
  if (disk_->options().lanes->version() != lanes_version_) [[unlikely]] {
    PickLane();
  }
  if (direct_ == nullptr) [[unlikely]] {
    return SendAcross(slot);
  }
  slot.across = false;
  direct_->Submit(slot);
}

void ScsiQueue::SendAgain(Slot& slot) { Send(slot); }

void ScsiQueue::Submit(BlockRequest& request) {
  if (!has_more() && StartSimple(request)) [[likely]] {
    return;
  }
  waiting_.push_back(request);
  Pump();
}

void ScsiQueue::SubmitAll(std::span<BlockRequest* const> requests) {
  if (disk_->options().lanes->version() != lanes_version_) PickLane();
  std::optional<Channel::Batch> batch;
  if (direct_ != nullptr && !direct_->closed()) batch.emplace(*direct_->channel());
  for (BlockRequest* request : requests) Submit(*request);
}

// The way of nearly every request: a read or write of one segment in guest memory, as one command. False: it is not
// that, or there is no slot, and nothing happened.
bool ScsiQueue::StartSimple(BlockRequest& request) {
  const bool write = request.operation == BlockOperation::kWrite;
  if (!write && request.operation != BlockOperation::kRead) return false;
  if (request.segments.size() != 1 || free_ == nullptr) return false;
  const BlockSegment& segment = request.segments.front();
  const uint64_t size = disk_->bytes();
  if (segment.gpa == BlockSegment::kNoGpa || segment.bytes != request.bytes ||
      request.bytes > info_.max_transfer_bytes || request.bytes == 0 ||
      ((request.offset | request.bytes) & (info_.block_bytes - 1)) != 0 || request.offset > size ||
      request.bytes > size - request.offset || disk_->retired()) {
    return false;
  }
  const bool forced = write && request.force_unit_access;
  if (write && (info_.read_only || (forced && !info_.force_unit_access))) return false;

  Slot& slot = *TakeFree();
  slot.request = &request;
  slot.parent = &slot;
  slot.simple = true;
  slot.moves = true;
  slot.retries = 0;
  slot.busy_retries = 0;
  slot.pending = 1;
  slot.flushing = false;
  slot.result = BlockResult::kOk;
  slot.direction = write ? storvsc::kDataOut : storvsc::kDataIn;
  slot.segments = request.segments;
  slot.skip_bytes = 0;
  slot.bytes = segment.bytes;
  SetTransferCdb(slot, write, request.offset >> block_shift_, segment.bytes >> block_shift_,
                 forced);
  Send(slot);
  return true;
}

// Starts what waits, as far as there are slots. Ends no request in its own turn: it may be inside of Submit.
void ScsiQueue::Pump() {
  while (has_more()) {
    if (current_ == nullptr) {
      if (free_ == nullptr) return;
      BlockRequest& request = waiting_.front();
      waiting_.pop_front();
      Begin(request);
    } else if (!IssuePiece()) {
      return;
    }
  }
}

void ScsiQueue::Begin(BlockRequest& request) {
  if (disk_->retired()) return completions_.End(request, BlockResult::kGone);
  const BlockResult form = CheckBlockRequest(request, info_, disk_->bytes());
  if (form != BlockResult::kOk) return completions_.End(request, form);
  if (request.operation == BlockOperation::kDiscard && !info_.discard) {
    return completions_.End(request, BlockResult::kNotSupported);
  }
  if (request.operation == BlockOperation::kStatus && !info_.status) {
    request.extents[0] = {.bytes = request.bytes};
    request.extent_count = 1;
    return completions_.End(request, BlockResult::kOk);
  }
  Slot& parent = *TakeFree();
  parent.request = &request;
  parent.parent = &parent;
  parent.pending = 1;
  parent.idle = true;
  parent.flushing = false;
  parent.same = false;
  parent.result = BlockResult::kOk;
  current_ = &parent;
  done_ = 0;
  at_ = {};
}

// False: it must wait for a slot or a bounce buffer.
bool ScsiQueue::IssuePiece() {
  Slot& parent = *current_;
  if (parent.result != BlockResult::kOk) {
    StopSplitting();
    return true;
  }
  // A request whose first command has ended already goes on with that slot: with one slot in all there is no other.
  Slot* const slot = parent.idle ? &parent : free_;
  if (slot == nullptr) return false;
  slot->request = parent.request;
  slot->parent = &parent;
  slot->simple = false;
  slot->retries = 0;
  slot->busy_retries = 0;
  slot->unit = kNoUnit;
  uint64_t bytes = parent.request->bytes - done_;
  switch (Build(*slot, bytes)) {
    case Built::kYes:
      break;
    case Built::kWait:
      return false;
    case Built::kNo:
      // Bounce pages are lost with a channel whose end the host did not confirm: no channel brings them back.
      parent.result = units_lost_ ? BlockResult::kGone : BlockResult::kNotSupported;
      StopSplitting();
      return true;
  }
  if (slot == &parent) {
    parent.idle = false;
  } else {
    (void)TakeFree();
  }
  ++parent.pending;
  done_ += bytes;
  Send(*slot);
  if (done_ >= parent.request->bytes) StopSplitting();
  return true;
}

void ScsiQueue::StopSplitting() {
  Slot& parent = *std::exchange(current_, nullptr);
  if (--parent.pending == 0) EndRequest(parent, /*inside_submit=*/true);
}

void ScsiQueue::SendAcross(Slot& slot) {
  slot.across = true;
  // A port that refuses is not listed any more, so the next pick finds another one.
  while (port_ != nullptr) {
    if (port_->Submit(slot)) return;
    PickLane();
    if (direct_ != nullptr) {
      slot.across = false;
      return direct_->Submit(slot);
    }
  }
  slot.how = ScsiEnd::kGone;
  if (mailbox_.Push(slot)) mail_.Signal();
}

void ScsiQueue::PickLane() {
  const ScsiLanes& lanes = *disk_->options().lanes;
  lanes_version_ = lanes.version();  // before the pick, so that a change meanwhile leads to another
  port_ = lanes.Pick(executor_);
  direct_ = port_ != nullptr && port_->local(executor_) ? port_->lane() : nullptr;
}

void ScsiQueue::OnMail() {
  ScsiCommand* command = mailbox_.TakeAll();
  while (command != nullptr) {
    Slot& slot = static_cast<Slot&>(*command);
    command = command->next_mail;
    Finished(slot, slot.how);
  }
}

ScsiQueue::Slot* ScsiQueue::TakeFree() {
  Slot* const slot = free_;
  free_ = slot->next;
  ++busy_slots_;
  return slot;
}

void ScsiQueue::Release(Slot& slot) {
  slot.next = free_;
  free_ = &slot;
  --busy_slots_;
}

}  // namespace vmbuskit
