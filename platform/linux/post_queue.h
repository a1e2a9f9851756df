// Calls on their way to an executor: a bounded ring that many threads push to and the owner pops from, lock-free and
// without memory of its own after construction.
//
//   PostQueue queue(4096);
//   if (!queue.Push(call)) ...                // full: nothing was queued
//   for (Callback call; queue.Pop(call);) call();
//
// Each slot carries a number that says whose turn it is: 2n when the n-th push may fill it, 2n + 1 when the n-th pop
// may take it. Not boost::lockfree::queue, which reads nodes that another thread may be recycling and so has data
// races that thread sanitizer rightly reports as soon as two threads push.
//
// Thread safety: Push from any thread; all else on the owner. Calls of one thread come out in the order they went in.
#ifndef VMBUSKIT_PLATFORM_LINUX_POST_QUEUE_H_
#define VMBUSKIT_PLATFORM_LINUX_POST_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "platform/callback.h"

namespace vmbuskit {

class PostQueue {
 public:
  explicit PostQueue(size_t capacity) : capacity_(capacity), slots_(new Slot[capacity]) {
    for (size_t i = 0; i < capacity; ++i) {
      slots_[i].turn.store(2 * uint64_t{i}, std::memory_order_relaxed);
    }
  }
  PostQueue(const PostQueue&) = delete;
  PostQueue& operator=(const PostQueue&) = delete;

  bool Push(Callback call) {
    uint64_t n = pushes_.load(std::memory_order_relaxed);
    // Goes round only when another push has come first.
    for (;;) {
      Slot& slot = slots_[n % capacity_];
      const uint64_t turn = slot.turn.load(std::memory_order_acquire);
      if (turn == 2 * n) {
        if (!pushes_.compare_exchange_weak(n, n + 1, std::memory_order_relaxed)) continue;
        slot.call = call;
        // Sequentially consistent: see LinuxExecutor::Wake for what it must not be reordered with.
        slot.turn.store(2 * n + 1, std::memory_order_seq_cst);
        return true;
      }
      if (turn < 2 * n) return false;  // holds a call of the previous round
      n = pushes_.load(std::memory_order_relaxed);
    }
  }

  bool Pop(Callback& call) {
    Slot& slot = slots_[pops_ % capacity_];
    if (slot.turn.load(std::memory_order_acquire) != 2 * pops_ + 1) return false;
    call = slot.call;
    slot.turn.store(2 * (pops_ + capacity_), std::memory_order_release);
    ++pops_;
    return true;
  }

  // Whether Pop would give nothing now.
  bool empty() const {
    return slots_[pops_ % capacity_].turn.load(std::memory_order_seq_cst) != 2 * pops_ + 1;
  }
  // Pushes that have begun and were not popped.
  size_t size() const { return pushes_.load(std::memory_order_relaxed) - pops_; }

 private:
  struct Slot {
    std::atomic<uint64_t> turn;
    Callback call;
  };

  const size_t capacity_;
  const std::unique_ptr<Slot[]> slots_;
  alignas(64) std::atomic<uint64_t> pushes_ = 0;
  alignas(64) uint64_t pops_ = 0;  // the owner's
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_POST_QUEUE_H_
