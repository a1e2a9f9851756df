// One virtual processor's synthetic interrupt controller, as its guest uses it: set-up and
// tear-down in the right order, message slot, event flags, and who is told about each flag. Source:
// protocol 01 section 4, 02 section 9.4.
//
//   SynicVp synic(partition, vp, executor, {}, handler);
//   VMBUSKIT_RETURN_IF_ERROR(synic.Enable(pages));
//   synic.SetTarget(relid, Callback::To<&Channel::OnSignal>(channel));   // its flag calls it
//   synic.Disable();
//
// An interrupt costs 32 loads, one exchange for each word of flags that is not zero, one call for
// each bit.
//
// Thread safety: the executor of the virtual processor, except TakeMessage, which a crash may call
// for every processor from one thread. Ownership: owns its two pages; targets must outlive their
// entry.
// Errors: what the host puts into slot and flags is checked and counted, never trusted.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_SYNIC_VP_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_SYNIC_VP_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "platform/callback.h"
#include "platform/executor.h"
#include "platform/memory.h"
#include "platform/partition.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

class SynicVp {
 public:
  struct Options {
    uint32_t sint = kVmbusSint;
    uint8_t vector = 0xF3;         // Linux's choice
    bool auto_eoi = false;         // only where the hypervisor allows it
    uint32_t message_budget = 64;  // per turn, before other work of the executor runs
  };

  class MessageHandler {
   public:
    virtual ~MessageHandler() = default;
    // A VMBus message that arrived on virtual processor `vp`: a private copy, valid until return.
    virtual void OnVmbusMessage(uint32_t vp, std::span<const std::byte> message) = 0;
  };

  struct Counters {
    uint64_t interrupts = 0;
    uint64_t spurious = 0;  // neither flag nor message
    uint64_t messages = 0;
    uint64_t bad_messages = 0;  // unknown type, or more than 240 bytes
    uint64_t end_of_messages = 0;
    uint64_t unknown_flags = 0;  // without a target
  };

  SynicVp(Partition& partition, uint32_t vp, Executor& executor, Options options,
          MessageHandler& handler);
  ~SynicVp();
  SynicVp(const SynicVp&) = delete;
  SynicVp& operator=(const SynicVp&) = delete;

  absl::Status Enable(PageAllocator& pages);
  // Masks first, then takes the pages from the hypervisor, then frees them.
  void Disable();
  bool enabled() const { return static_cast<bool>(message_page_); }

  // Flag `relid` (1 .. 2047) calls `target` on this executor; an empty one takes the entry out.
  void SetTarget(uint32_t relid, Callback target) { targets_[relid] = target; }
  // Takes the entry out if `target` is what it calls; the number may have a new owner by now.
  void ClearTarget(uint32_t relid, Callback target) {
    if (targets_[relid] == target) targets_[relid] = {};
  }
  // Synthetic timer `index` in message mode calls `target`.
  void SetTimerTarget(uint32_t index, Callback target) { timer_targets_[index] = target; }

  // As if interrupted.
  void Poll() { OnInterrupt(); }

  // Takes the message out of the slot, if there is one, into `copy`: the protocol of section 4.3.
  bool TakeMessage(SynicMessage& copy);

  // What the hypervisor calls this processor; every target VP on the wire is such an index.
  uint32_t vp_index() const { return vp_index_; }
  Executor& executor() const { return executor_; }
  const Counters& counters() const { return counters_; }

 private:
  absl::Status EnablePage(uint32_t reg, PageRun& page, PageAllocator& pages, std::byte*& bytes);
  absl::Status MaskSint(bool masked);
  // True when the register now has the page disabled.
  bool DisablePage(uint32_t reg);
  void OnInterrupt();
  bool ScanFlags();
  bool DrainMessages();
  void OnMessage(const SynicMessage& message);

  Partition& partition_;
  const uint32_t vp_;
  Executor& executor_;
  const Options options_;
  MessageHandler& handler_;
  uint32_t vp_index_ = 0;
  PageRun message_page_;
  PageRun event_page_;
  std::byte* message_bytes_ = nullptr;
  std::byte* event_bytes_ = nullptr;
  std::array<Callback, kEventFlagCount> targets_{};
  std::array<Callback, kSyntheticTimerCount> timer_targets_{};
  Event interrupt_;
  Counters counters_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_SYNIC_VP_H_
