#include "platform/sim/executor.h"

#include <algorithm>
#include <cassert>

namespace vmbuskit {
namespace {

constexpr uint32_t Bit(SimWork work) { return uint32_t{1} << static_cast<uint32_t>(work); }

}  // namespace

SimExecutor::SimExecutor(SimClock& clock, uint32_t cpu, size_t post_capacity,
                         Duration poll_interval)
    : clock_(clock), cpu_(cpu), posts_(post_capacity), pollers_(poll_interval) {}

SimExecutor::~SimExecutor() {
  assert(events_first_ == nullptr && "an event outlives its executor");
}

bool SimExecutor::Post(Callback call) {
  if (posts_count_ == posts_.size()) return false;
  posts_[(posts_first_ + posts_count_) % posts_.size()] = call;
  ++posts_count_;
  return true;
}

uint32_t SimExecutor::Runnable() {
  timers_.Expire(clock_.now);
  uint32_t work = 0;
  if (posts_count_ != 0) work |= Bit(SimWork::kPost);
  if (events_first_ != nullptr) work |= Bit(SimWork::kEvent);
  if (timers_.has_expired()) work |= Bit(SimWork::kTimer);
  if (pollers_.NextRun() <= clock_.now) work |= Bit(SimWork::kPollers);
  return work;
}

void SimExecutor::RunTurn(SimWork work) {
  const SimTurn turn(clock_, *this);
  switch (work) {
    case SimWork::kPost:
      TakePost()();
      break;
    case SimWork::kEvent:
      TakeEvent().RunHandler();
      break;
    case SimWork::kTimer:
      timers_.TakeExpired()->RunHandler();
      break;
    case SimWork::kPollers:
      pollers_.RunDue(clock_.now);
      break;
  }
}

Instant SimExecutor::NextWakeup() { return std::min(timers_.NextDeadline(), pollers_.NextRun()); }

void SimExecutor::EnqueueEvent(Event& event) {
  event.next = nullptr;
  (events_first_ == nullptr ? events_first_ : events_last_->next) = &event;
  events_last_ = &event;
}

void SimExecutor::DetachEvent(Event& event) {
  Event* before = nullptr;
  for (Event* at = events_first_; at != &event; at = at->next) before = at;
  (before == nullptr ? events_first_ : before->next) = event.next;
  if (events_last_ == &event) events_last_ = before;
  event.ClearPending();
}

Callback SimExecutor::TakePost() {
  const Callback call = posts_[posts_first_];
  posts_first_ = (posts_first_ + 1) % posts_.size();
  --posts_count_;
  return call;
}

Event& SimExecutor::TakeEvent() {
  Event& event = *events_first_;
  events_first_ = event.next;
  if (events_first_ == nullptr) events_last_ = nullptr;
  return event;
}

}  // namespace vmbuskit
