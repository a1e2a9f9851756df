#include "devices/storvsc/export/nbd_transmission.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "framework/base/bytes.h"
#include "framework/base/status.h"

namespace vmbuskit {
namespace {

constexpr std::string_view kSubject = "NBD request";

std::string_view MessageFor(nbd::Error error) {
  switch (error) {
    case nbd::kEPerm:
      return "the export is read-only";
    case nbd::kENoSpc:
      return "past the end of the export";
    case nbd::kEOverflow:
      return "longer than the maximum payload";
    case nbd::kENotSup:
      return "not faster than a write";
    case nbd::kENoMem:
      return "no memory for this request";
    default:
      return "command, flags, range or alignment";
  }
}

}  // namespace

NbdTransmission::NbdTransmission(std::shared_ptr<BlockDevice> disk, Executor& executor,
                                 const NbdAgreement& agreement, const NbdLimits& limits,
                                 Callback on_progress)
    : disk_(std::move(disk)),
      agreement_(agreement),
      structured_(agreement.structured_replies),
      needs_flush_for_fua_(disk_->info().volatile_cache && !disk_->info().force_unit_access),
      on_progress_(on_progress),
      pool_(*disk_, limits.buffer_bytes_max),
      queue_(disk_->OpenQueue(executor)) {
  const uint32_t count = std::max(limits.requests_max, 1u);
  slots_.reserve(count);
  batch_.reserve(count);
  NbdSlotOwner& owner = *this;
  for (uint32_t i = 0; i < count; ++i) {
    slots_.push_back(std::make_unique<NbdSlot>(owner));
    free_.Push(*slots_.back());
  }
}

NbdTransmission::~NbdTransmission() { assert(in_flight_ == 0); }

size_t NbdTransmission::Receive(std::span<const std::byte> bytes) {
  if (waiting_ != nullptr && !stopping_) Begin(*std::exchange(waiting_, nullptr));
  size_t taken = 0;
  while (!stopping_) {
    const auto rest = bytes.subspan(taken);
    if (payload_left_ > 0) {
      std::span<std::byte> target;
      size_t part = std::min(rest.size(), payload_left_);
      if (part == 0) break;
      if (PayloadTargets(std::span(&target, 1)) == 1) {
        part = std::min(part, target.size());
        std::memcpy(target.data(), rest.data(), part);
      }
      PayloadReceived(part);
      taken += part;
      continue;
    }
    if (blocked() || rest.size() < sizeof(nbd::Request)) break;
    if (TakeRequest(rest.first(sizeof(nbd::Request)))) taken += sizeof(nbd::Request);
  }
  SubmitBatch();
  return stopping_ ? bytes.size() : taken;
}

// False: it ended the connection instead.
bool NbdTransmission::TakeRequest(std::span<const std::byte> header) {
  const auto request = ByteReader(header).Read<nbd::Request>();
  if (request.magic != nbd::kRequestMagic) {
    Fail(Violation(kSubject, "magic", request.magic));
    return false;
  }
  if (request.command == nbd::kCmdWrite && request.bytes > nbd::kDefaultPayloadBytesMax) {
    Fail(Violation(kSubject, "bytes of a write", request.bytes));
    return false;
  }
  if (request.command == nbd::kCmdDisc) {
    Stop();
    return true;
  }
  ++counters_.requests;
  NbdSlot& slot = free_.Pop();
  slot.request = request;
  slot.flush_after = false;
  Begin(slot);
  return true;
}

void NbdTransmission::Begin(NbdSlot& slot) {
  const nbd::Request& request = slot.request;
  const nbd::Error error = CheckNbdRequest(request, agreement_);
  if (error != nbd::kOk) return Refuse(slot, error, MessageFor(error));
  const bool moves = request.command == nbd::kCmdRead || request.command == nbd::kCmdWrite;
  const bool nothing = request.bytes == 0 && request.command != nbd::kCmdFlush;
  if (nothing || request.command == nbd::kCmdCache) {  // a hint that no disk of ours takes
    slot.AnswerDone(structured_);
    return Answer(slot);
  }
  return moves ? BeginMove(slot) : BeginOther(slot);
}

void NbdTransmission::BeginMove(NbdSlot& slot) {
  switch (pool_.Take(slot.request.bytes, slot.buffer)) {
    case NbdBufferPool::Taken::kLater:
      waiting_ = &slot;
      return;
    case NbdBufferPool::Taken::kNever:
      return Refuse(slot, nbd::kENoMem, MessageFor(nbd::kENoMem));
    case NbdBufferPool::Taken::kYes:
      break;
  }
  if (slot.request.command == nbd::kCmdRead) return Submit(slot);
  filling_ = &slot;
  refusal_ = nbd::kOk;
  payload_left_ = slot.request.bytes;
}

void NbdTransmission::BeginOther(NbdSlot& slot) {
  if (slot.request.command == nbd::kCmdBlockStatus && !disk_->info().status) {
    slot.FillBlockRequest();
    slot.AnswerStatus(NbdHandshake::kBaseAllocationId);
    return Answer(slot);
  }
  Submit(slot);
}

// A write's data come all the same: its answer follows them.
void NbdTransmission::Refuse(NbdSlot& slot, nbd::Error error, std::string_view message) {
  ++counters_.errors;
  slot.AnswerError(error, message, structured_);
  if (slot.request.command != nbd::kCmdWrite || slot.request.bytes == 0) return Answer(slot);
  filling_ = &slot;
  refusal_ = error;
  payload_left_ = slot.request.bytes;
}

size_t NbdTransmission::PayloadTargets(std::span<std::span<std::byte>> into) {
  if (stopping_ || payload_left_ == 0 || refusal_ != nbd::kOk) return 0;
  size_t count = 0;
  size_t offset = filling_->buffer.bytes() - payload_left_;
  while (count < into.size()) {
    const std::span<std::byte> part = filling_->buffer.From(offset);
    if (part.empty()) break;
    into[count++] = part;
    offset += part.size();
  }
  return count;
}

void NbdTransmission::PayloadReceived(size_t bytes) {
  payload_left_ -= bytes;
  if (payload_left_ == 0) OnPayloadComplete();
}

void NbdTransmission::OnPayloadComplete() {
  NbdSlot& slot = *std::exchange(filling_, nullptr);
  if (refusal_ != nbd::kOk) return Answer(slot);
  Submit(slot);
}

void NbdTransmission::Submit(NbdSlot& slot) {
  slot.FillBlockRequest();
  const bool fua = (slot.request.flags & nbd::kFlagFua) != 0;
  const bool discard = slot.operation == BlockOperation::kDiscard;
  slot.flush_after = fua && (needs_flush_for_fua_ || (discard && disk_->info().volatile_cache));
  slot.force_unit_access = fua && !discard && disk_->info().force_unit_access;
  ++in_flight_;
  batch_.push_back(&slot);
}

void NbdTransmission::SubmitBatch() {
  if (batch_.empty()) return;
  queue_->SubmitAll(batch_);
  batch_.clear();
}

void NbdTransmission::OnSlotDone(NbdSlot& slot, BlockResult result) {
  if (result == BlockResult::kOk && std::exchange(slot.flush_after, false)) {
    slot.operation = BlockOperation::kFlush;
    slot.force_unit_access = false;
    slot.offset = slot.bytes = 0;
    slot.segments = {};
    return queue_->Submit(slot);
  }
  --in_flight_;
  const uint16_t command = slot.request.command;
  if (result == BlockResult::kLost) pool_.Lose(slot.buffer);
  if (result == BlockResult::kGone || result == BlockResult::kLost) Stop();
  if (result != BlockResult::kOk) {
    ++counters_.errors;
    const bool fast = (slot.request.flags & nbd::kFlagFastZero) != 0;
    const bool slow = result == BlockResult::kNotSupported && fast;
    slot.AnswerError(slow ? nbd::kENotSup : NbdErrorOf(result, command), ToString(result),
                     structured_);
  } else if (command == nbd::kCmdRead) {
    slot.AnswerData(structured_);
  } else if (command == nbd::kCmdBlockStatus) {
    slot.AnswerStatus(NbdHandshake::kBaseAllocationId);
  } else {
    slot.AnswerDone(structured_);
  }
  if (command == nbd::kCmdWrite) pool_.Give(slot.buffer);
  Answer(slot);
  on_progress_();
}

size_t NbdTransmission::Unsent(std::span<std::span<const std::byte>> parts) const {
  size_t count = 0;
  size_t offset = unsent_offset_;
  for (const NbdSlot* slot = unsent_.front(); slot != nullptr && count < parts.size();) {
    const std::span<const std::byte> part = slot->AnswerFrom(offset);
    if (part.empty()) {
      slot = slot->next;
      offset = 0;
      continue;
    }
    parts[count++] = part;
    offset += part.size();
  }
  return count;
}

void NbdTransmission::Sent(size_t bytes) {
  unsent_offset_ += bytes;
  while (!unsent_.empty() && unsent_offset_ >= unsent_.front()->answer_bytes()) {
    NbdSlot& slot = unsent_.Pop();
    unsent_offset_ -= slot.answer_bytes();
    pool_.Give(slot.buffer);
    free_.Push(slot);
  }
}

void NbdTransmission::Fail(absl::Status error) {
  error_ = std::move(error);
  Stop();
}

}  // namespace vmbuskit
