// Signalled events on their way to an executor: a lock-free stack, linked through the events themselves. Any thread
// pushes; the owner takes all at once, in the order they came.
//
//   stack.Push(event);                        // any thread; `event` is in no list
//   for (Event* e = stack.TakeAll(); ...)     // owner
//
// Thread safety: Push and empty from any thread, TakeAll on the owner. Taking all at once, there is no ABA problem.
#ifndef VMBUSKIT_PLATFORM_LINUX_EVENT_STACK_H_
#define VMBUSKIT_PLATFORM_LINUX_EVENT_STACK_H_

#include <atomic>

#include "platform/executor.h"

namespace vmbuskit {

class EventStack {
 public:
  // Sequentially consistent: see LinuxExecutor::Wake for what it must not be reordered with.
  void Push(Event& event) {
    Event* top = top_.load(std::memory_order_relaxed);
    do {
      event.next = top;
    } while (!top_.compare_exchange_weak(top, &event, std::memory_order_seq_cst,
                                         std::memory_order_relaxed));
  }

  bool empty() const { return top_.load(std::memory_order_seq_cst) == nullptr; }

  // First signalled, first in the list; null when there is none.
  Event* TakeAll() {
    if (top_.load(std::memory_order_relaxed) == nullptr) return nullptr;
    Event* stacked = top_.exchange(nullptr, std::memory_order_acquire);
    Event* first = nullptr;
    while (stacked != nullptr) {
      Event* const below = stacked->next;
      stacked->next = first;
      first = stacked;
      stacked = below;
    }
    return first;
  }

 private:
  std::atomic<Event*> top_ = nullptr;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_EVENT_STACK_H_
