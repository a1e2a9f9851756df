// SCSI commands on their way from one executor to another: a lock-free stack, linked through the commands themselves.
//
//   if (mailbox.Push(command)) event.Signal();                             // any thread
//   for (ScsiCommand* each = mailbox.TakeAll(); each != nullptr; ...)      // owner, in its event's handler
//
// Whoever finds it empty signals, and only he. When the owner takes only in the handler of that event, the last push
// of a round happens before its signal, and nobody touches the event after the handler took what was pushed.
//
// Thread safety: Push from any thread, TakeAll on the owner. Taking all at once, there is no ABA problem.
#ifndef VMBUSKIT_DEVICES_STORVSC_SCSI_MAILBOX_H_
#define VMBUSKIT_DEVICES_STORVSC_SCSI_MAILBOX_H_

#include <atomic>

#include "devices/storvsc/scsi_command.h"

namespace vmbuskit {

class ScsiMailbox {
 public:
  // True: it was empty. `command` is in nobody's mailbox.
  [[nodiscard]] bool Push(ScsiCommand& command) {
    ScsiCommand* top = top_.load(std::memory_order_relaxed);
    do {
      command.next_mail = top;
    } while (!top_.compare_exchange_weak(top, &command, std::memory_order_acq_rel,
                                         std::memory_order_relaxed));
    return top == nullptr;
  }

  // First pushed, first in the list, linked by next_mail; null when there is none.
  ScsiCommand* TakeAll() {
    ScsiCommand* stacked = top_.exchange(nullptr, std::memory_order_acquire);
    ScsiCommand* first = nullptr;
    while (stacked != nullptr) {
      ScsiCommand* const below = stacked->next_mail;
      stacked->next_mail = first;
      first = stacked;
      stacked = below;
    }
    return first;
  }

 private:
  alignas(64) std::atomic<ScsiCommand*> top_ = nullptr;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SCSI_MAILBOX_H_
