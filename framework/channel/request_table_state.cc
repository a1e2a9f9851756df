// Save and restore of a request table.
#include <algorithm>
#include <vector>

#include "framework/base/saved_state.h"
#include "framework/channel/request_table.h"

namespace vmbuskit {
namespace {

constexpr Duration kNoDeadline = Duration::max();

}  // namespace

bool RequestTable::Resume(uint64_t id, Request& request) {
  if (request.outstanding() || closed_ || id == 0 || id > slots_.size()) return false;
  Slot& slot = slots_[id - 1];
  if (slot.state != State::kRestored) return false;
  slot.state = State::kOutstanding;
  slot.request = &request;
  request.slot_ = static_cast<uint32_t>(id - 1);
  --abandoned_;
  outstanding_.push_back(request);
  slot.timer->Arm(slot.restored_deadline);
  return true;
}

void RequestTable::DropAll() {
  closed_ = true;
  while (!outstanding_.empty()) {
    Slot& slot = slots_[outstanding_.front().slot_];
    Detach(slot);
    Free(slot);
  }
}

template <typename Archive>
void RequestTable::ExchangeSlot(Archive& archive, Slot& slot) {
  State state = slot.state == State::kRestored ? State::kAbandoned : slot.state;
  archive.AtMost("request slot state", state, static_cast<uint64_t>(State::kAbandoned));
  archive(slot.generation);
  Duration left = kNoDeadline;
  if (state == State::kOutstanding) {
    if (!Archive::kLoading && slot.timer->armed()) left = slot.timer->deadline() - executor_.Now();
    archive(left);
  }
  if constexpr (Archive::kLoading) {
    const Instant now = executor_.Now();
    slot.state = state == State::kOutstanding ? State::kRestored : state;
    const bool endless = left >= kInfiniteFuture - now;
    slot.restored_deadline = endless ? kInfiniteFuture : now + std::max(left, Duration::zero());
    if (state != State::kFree) ++abandoned_;
  }
}

// In the order in which they will be used: an id rests as long as it would have.
template <typename Archive>
void RequestTable::ExchangeFree(Archive& archive) {
  const size_t count = archive.Count("free request slots", free_count_, slots_.size());
  if constexpr (Archive::kLoading) {
    if (count != slots_.size() - abandoned_) {
      return archive.Fail("free request slots", count, "not as many as there are");
    }
    free_count_ = 0;
  }
  std::vector<bool> seen(slots_.size());
  uint32_t index = free_head_;
  for (size_t i = 0; i < count; ++i) {
    archive.AtMost("free request slot", index, slots_.size() - 1);
    Slot& slot = slots_[index];
    if constexpr (Archive::kLoading) {
      if (slot.state != State::kFree || seen[index]) {
        return archive.Fail("free request slot", index, "not free, or listed twice");
      }
      seen[index] = true;
      Free(slot);
    } else {
      index = slot.next_free;
    }
  }
}

template <typename Archive>
void RequestTable::Exchange(Archive& archive) {
  uint32_t slots = this->slots();
  archive(slots);
  if constexpr (Archive::kLoading) {
    if (slots != this->slots()) archive.Fail("request slots", slots, "another number here");
  }
  for (uint64_t* counter : {&counters_.added, &counters_.completed, &counters_.deadlines,
                            &counters_.closed, &counters_.late_answers}) {
    archive(*counter);
  }
  for (Slot& slot : slots_) ExchangeSlot(archive, slot);
  ExchangeFree(archive);
  if (!archive.ok()) closed_ = true;  // half of a state: not to be used
}

template void RequestTable::Exchange(StateWriter& archive);
template void RequestTable::Exchange(StateReader& archive);

}  // namespace vmbuskit
