#include "framework/channel/request_table.h"

#include <cassert>

namespace vmbuskit {

const char* Describe(TakeError error) {
  switch (error) {
    case TakeError::kNone:
      break;
    case TakeError::kZeroId:
      return "id 0 never waits for a completion";
    case TakeError::kUnknownId:
      return "was never issued";
    case TakeError::kNotOutstanding:
      return "was completed already";
  }
  return "";
}

RequestTable::RequestTable(Executor& executor, uint32_t slots)
    : executor_(executor), slots_(slots) {
  for (uint32_t i = 0; i < slots; ++i) {
    Slot& slot = slots_[i];
    slot.table = this;
    slot.next_free = i + 1;
    slot.timer.emplace(executor, Callback::To<&Slot::OnDeadline>(&slot));
  }
  free_tail_ = slots == 0 ? 0 : slots - 1;
  free_count_ = slots;
}

RequestTable::~RequestTable() { assert(outstanding_.empty()); }

uint64_t RequestTable::Add(Request& request, Instant deadline) {
  assert(!request.outstanding());
  if (free_count_ == 0 || closed_) return 0;
  const uint32_t index = free_head_;
  Slot& slot = slots_[index];
  free_head_ = slot.next_free;
  --free_count_;
  slot.state = State::kOutstanding;
  slot.request = &request;
  ++slot.generation;
  request.slot_ = index;
  outstanding_.push_back(request);
  if (deadline != kInfiniteFuture) slot.timer->Arm(deadline);
  ++counters_.added;
  return uint64_t{index} + 1;
}

TakeResult RequestTable::Take(uint64_t id) {
  if (id == 0) return {TakeError::kZeroId};
  if (id > slots_.size()) return {TakeError::kUnknownId};
  Slot& slot = slots_[id - 1];
  switch (slot.state) {
    case State::kFree:
      return {slot.generation == 0 ? TakeError::kUnknownId : TakeError::kNotOutstanding};
    case State::kAbandoned:
    case State::kRestored:
      ++counters_.late_answers;
      --abandoned_;
      Free(slot);
      return {};
    case State::kOutstanding:
      break;
  }
  ++counters_.completed;
  Request& request = Detach(slot);
  Free(slot);
  return {.request = &request};
}

void RequestTable::Cancel(uint64_t id) {
  assert(id > 0 && id <= slots_.size());
  Slot& slot = slots_[id - 1];
  assert(slot.state == State::kOutstanding);
  --counters_.added;
  --slot.generation;
  Detach(slot);
  Free(slot);
}

void RequestTable::Abandon(Request& request) {
  if (!request.outstanding()) return;
  Slot& slot = slots_[request.slot_];
  assert(slot.request == &request);
  Detach(slot);
  slot.state = State::kAbandoned;
  ++abandoned_;
}

void RequestTable::CloseAll() {
  closed_ = true;
  // A request that ends may abandon others, but can add none.
  while (!outstanding_.empty()) {
    Slot& slot = slots_[outstanding_.front().slot_];
    Request& request = Detach(slot);
    Free(slot);
    ++counters_.closed;
    request.OnEnd(RequestEnd::kClosed, nullptr);
  }
}

void RequestTable::OnDeadline(Slot& slot) {
  Request& request = Detach(slot);
  slot.state = State::kAbandoned;
  ++abandoned_;
  ++counters_.deadlines;
  request.OnEnd(RequestEnd::kDeadline, nullptr);
}

Request& RequestTable::Detach(Slot& slot) {
  Request& request = *slot.request;
  slot.request = nullptr;
  slot.timer->Disarm();
  outstanding_.erase(outstanding_.iterator_to(request));
  return request;
}

void RequestTable::Free(Slot& slot) {
  const auto index = static_cast<uint32_t>(&slot - slots_.data());
  slot.state = State::kFree;
  if (free_count_ == 0) {
    free_head_ = index;
  } else {
    slots_[free_tail_].next_free = index;
  }
  free_tail_ = index;
  ++free_count_;
}

}  // namespace vmbuskit
