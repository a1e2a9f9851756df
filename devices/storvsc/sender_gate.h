// Lets any thread use an object for a moment until its owner takes it away.
//
//   if (gate.Enter()) { event.Signal(); gate.Leave(); }       // any thread; false: it is gone
//   gate.Close();                                             // owner: nobody is inside any more, nobody gets in
//
// Thread safety: Enter and Leave from any thread, Close once, by the owner, not from inside. Close waits for those who
// are inside now; a stay must be a few instructions, as those of Event::Signal.
#ifndef VMBUSKIT_DEVICES_STORVSC_SENDER_GATE_H_
#define VMBUSKIT_DEVICES_STORVSC_SENDER_GATE_H_

#include <atomic>
#include <cstdint>
#include <optional>

#include "platform/callback.h"
#include "platform/executor.h"

namespace vmbuskit {

class SenderGate {
 public:
  [[nodiscard]] bool Enter() {
    // Sequentially consistent on both sides: either Close sees the entry or the entry sees that it is closed.
    inside_.fetch_add(1, std::memory_order_seq_cst);
    if (!closed_.load(std::memory_order_seq_cst)) return true;
    Leave();
    return false;
  }
  void Leave() { inside_.fetch_sub(1, std::memory_order_release); }

  void Close() {
    closed_.store(true, std::memory_order_seq_cst);
    while (inside_.load(std::memory_order_seq_cst) != 0) {
    }
  }

 private:
  std::atomic<uint32_t> inside_ = 0;
  std::atomic<bool> closed_ = false;
};

// An event that may be signalled by those who do not know whether its owner still lives; they share it.
class SharedEvent {
 public:
  SharedEvent(Executor& executor, Callback handler) : event_(std::in_place, executor, handler) {}

  // Any thread.
  void Signal() {
    if (!gate_.Enter()) return;
    event_->Signal();
    gate_.Leave();
  }
  // On the executor: the handler is not called any more. Must have been called before the executor goes.
  void Close() {
    if (!event_) return;
    gate_.Close();
    event_.reset();
  }

 private:
  SenderGate gate_;
  std::optional<Event> event_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SENDER_GATE_H_
