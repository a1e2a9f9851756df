#include "platform/poller_list.h"

#include <algorithm>
#include <cassert>

namespace vmbuskit {

PollerList::~PollerList() { assert(empty() && "a poller outlives its executor"); }

void PollerList::Add(Poller& poller, Instant now) {
  poller.next_run = now;
  list_.push_back(poller);
}

void PollerList::Remove(Poller& poller) {
  const List::iterator position = list_.iterator_to(poller);
  if (cursor_ == position) ++cursor_;
  list_.erase(position);
}

Instant PollerList::NextRun() const {
  Instant next = kInfiniteFuture;
  for (const Poller& poller : list_) next = std::min(next, poller.next_run);
  return next;
}

size_t PollerList::RunDue(Instant now) {
  size_t ran = 0;
  cursor_ = list_.begin();
  // The count at the beginning bounds the loop: pollers that handlers start wait for the next turn.
  for (size_t left = list_.size(); left > 0 && cursor_ != list_.end(); --left) {
    Poller& poller = *cursor_++;
    if (poller.next_run > now) continue;
    const Duration period = poller.period() == Duration::zero() ? zero_period_ : poller.period();
    poller.next_run += period;
    if (poller.next_run <= now) poller.next_run = now + period;  // late by a whole period: skip it
    ++ran;
    poller.RunHandler();
  }
  cursor_ = list_.end();
  return ran;
}

}  // namespace vmbuskit
