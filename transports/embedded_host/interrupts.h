// The interrupt descriptor table of one virtual processor: vector to the guest's handler.
//
//   interrupts.Connect(0xF3, &handler);
//   interrupts.Raise(0xF3);   // inside the raising thread's gate
//
// Thread safety: Connect from the processor's executor; Raise from any executor of the partition inside its own gate
// (the processor itself needs none). After Connect(vector, nullptr) the old handler is not signalled any more and may
// be destroyed.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_INTERRUPTS_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_INTERRUPTS_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "platform/executor.h"
#include "transports/embedded_host/partition_gates.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

class InterruptTable {
 public:
  explicit InterruptTable(const PartitionGates& gates) : gates_(gates) {}

  void Connect(uint8_t vector, Event* handler) {
    handlers_[vector].store(handler);
    if (handler == nullptr) gates_.Synchronize();
  }
  void DisconnectAll() {
    for (auto& handler : handlers_) handler.store(nullptr);
    gates_.Synchronize();
  }

  // Vectors below 16 are not for devices: nothing is raised (section 4.1).
  void Raise(uint8_t vector) {
    if (vector < kSintVectorMin) return;
    if (Event* handler = handlers_[vector].load()) {
      raised_.fetch_add(1, std::memory_order_relaxed);
      handler->Signal();
    } else {
      spurious_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  // Saves, or takes over, the figures; the handlers are the guest's own and stay.
  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(raised_);
    archive(spurious_);
  }

  uint64_t raised() const { return raised_.load(std::memory_order_relaxed); }
  // Raised without a handler: dropped.
  uint64_t spurious() const { return spurious_.load(std::memory_order_relaxed); }

 private:
  const PartitionGates& gates_;
  std::array<std::atomic<Event*>, 256> handlers_{};
  std::atomic<uint64_t> raised_ = 0;
  std::atomic<uint64_t> spurious_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_INTERRUPTS_H_
