// The synthetic interrupt controller of one virtual processor: SINTs, message slots with a bounded queue each,
// event flags. Source: protocol 01 section 4.
//
//   synic.Write(kRegSint0 + 2, 0xF3);                         // guest
//   synic.Post(2, {kMessageTypeVmbus, bytes});                // host: queued while the slot is taken
//   synic.SetEventFlag(2, relid);                             // host: interrupts only if the flag was clear
//
// Thread safety: Read and Write on the processor's executor; Post, TryPostNow, SetEventFlag, Retry and the
// accounting on the host executor; Reset on the host executor, also while the guest still runs. The two sides meet
// in atomics, in the host's gate (protocol "after SIMP is off nobody touches the page") and in one lock that only
// page registers take.
// Ownership: holds references; `host_work` is signalled when a Retry is due.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SYNIC_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SYNIC_H_

#include <array>
#include <atomic>
#include <bitset>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/observe/inspect.h"
#include "platform/executor.h"
#include "platform/memory.h"
#include "transports/embedded_host/interrupts.h"
#include "transports/embedded_host/message_slot.h"
#include "transports/embedded_host/overlay_page.h"
#include "transports/embedded_host/partition_gates.h"
#include "transports/embedded_host/partition_options.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

// Plain integers of the host executor.
struct SynicCounters {
  uint64_t messages_posted = 0;   // written to a slot
  uint64_t messages_dropped = 0;  // queue full, or masked under MaskedMessages::kDrop
  uint64_t events_set = 0;        // the flag was clear: interrupt
  uint64_t events_merged = 0;     // the flag was set already
  uint64_t events_lost = 0;       // SynIC or page disabled, or SINT masked
};

enum class EventResult { kInterrupted, kMerged, kLatched, kLost };

class Synic {
 public:
  Synic(GuestMemory& memory, PartitionGates& gates, Event& host_work,
        const PartitionOptions& options);

  // ---- The guest's side. `reg` is SCONTROL .. SINT15; InvalidArgument stands for #GP.
  absl::StatusOr<uint64_t> Read(uint32_t reg) const;
  absl::Status Write(uint32_t reg, uint64_t value);
  static bool Owns(uint32_t reg) {
    return (reg >= kRegScontrol && reg <= kRegEom) ||
           (reg >= kRegSint0 && reg < kRegSint0 + kSintCount);
  }
  InterruptTable& interrupts() { return interrupts_; }

  // ---- The host's side.
  // Posts now or when the slot gets free, in order; false, and nothing queued, when the SINT's queue is full.
  [[nodiscard]] bool Post(uint32_t sint, const OutgoingMessage& message);
  // Posts only if nothing waits before it and the slot is free; else the guest is asked for an EOM.
  [[nodiscard]] bool TryPostNow(uint32_t sint, const OutgoingMessage& message);
  EventResult SetEventFlag(uint32_t sint, uint32_t flag);
  // What waits may have become deliverable: after an EOM, an unmasked SINT, an enabled page.
  void Retry();
  size_t queued(uint32_t sint) const { return queues_[sint].size(); }
  void Reset();
  // Saves, or takes over what was saved; with StateWriter or StateReader, while the processor does not run. Interrupt
  // handlers stay as they are. A Retry is due afterwards.
  template <typename Archive>
  void Exchange(Archive& archive);

  // Guest pages laid over by this SynIC now: 0 to 2. Any thread.
  uint32_t pages() const { return uint32_t{simp_.enabled()} + uint32_t{siefp_.enabled()}; }
  const SynicCounters& counters() const { return counters_; }
  void Inspect(InspectNode& node) const;

 private:
  using FlagSet = std::bitset<kEventFlagCount>;

  absl::Status WritePage(uint32_t reg, uint64_t value, std::atomic<uint64_t>& word,
                         OverlayPage& page);
  bool Open(uint32_t sint) const;  // SynIC enabled and the SINT unmasked
  void Interrupt(uint32_t sint);
  void Pump(uint32_t sint);
  bool SetFlag(std::byte* page, uint32_t sint, uint32_t flag);
  void RaiseLatched(uint32_t sint);
  template <typename Archive>
  void ExchangeQueue(Archive& archive, uint32_t sint);
  template <typename Archive>
  void ExchangeLatched(Archive& archive, uint32_t sint);

  const PartitionOptions& options_;
  PartitionGates& gates_;
  Event& host_work_;
  InterruptTable interrupts_;

  std::atomic<uint64_t> scontrol_ = kScontrolEnable;
  std::atomic<uint64_t> simp_word_ = 0;
  std::atomic<uint64_t> siefp_word_ = 0;
  std::array<std::atomic<uint64_t>, kSintCount> sints_;
  std::mutex pages_mutex_;  // page registers against Reset
  OverlayPage simp_;
  OverlayPage siefp_;

  std::array<std::deque<OutgoingMessage>, kSintCount> queues_;
  std::array<std::unique_ptr<FlagSet>, kSintCount> latched_;  // made when first needed
  SynicCounters counters_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SYNIC_H_
