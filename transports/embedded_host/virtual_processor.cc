#include "transports/embedded_host/virtual_processor.h"

#include "transports/embedded_host/general_protection.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

VirtualProcessor::VirtualProcessor(uint32_t index, Executor& executor, Executor& host_executor,
                                   PartitionGates& gates, GuestMemory& memory,
                                   const ReferenceClock& clock, const PartitionOptions& options,
                                   Callback slots_moved)
    : index_(index),
      executor_(executor),
      host_executor_(host_executor),
      slots_moved_(slots_moved),
      host_work_(host_executor, Callback::To<&VirtualProcessor::OnHostWork>(this)),
      synic_(memory, gates, host_work_, options),
      timers_(executor, clock, synic_, host_work_, options),
      assist_(memory, options.overlay, nullptr) {}

void VirtualProcessor::OnHostWork() {
  synic_.Retry();
  timers_.DeliverMessages(host_executor_);
  slots_moved_();
}

absl::Status VirtualProcessor::WriteAssistRegister(uint64_t value) {
  if ((value & kPageRegisterReserved) != 0) {
    return GeneralProtection(kRegVpAssistPage, value, "reserved bits are set");
  }
  std::lock_guard lock(mutex_);
  if ((value & kPageRegisterEnable) == 0) {
    assist_.Disable();
  } else if (!assist_.Enable(value & kPageRegisterPageMask).ok()) {
    return GeneralProtection(kRegVpAssistPage, value, "no such guest page");
  }
  assist_word_.store(value);
  return absl::OkStatus();
}

void VirtualProcessor::Reset() {
  synic_.Reset();
  timers_.Reset();
  std::lock_guard lock(mutex_);
  assist_.Reset();
  assist_word_.store(0);
  tpr_.store(0);
}

void VirtualProcessor::Inspect(InspectNode& node) {
  node.Set("hypercalls", hypercalls_.calls.load(std::memory_order_relaxed));
  node.Set("hypercalls_failed", hypercalls_.failed.load(std::memory_order_relaxed));
  node.Set("messages", hypercalls_.messages.load(std::memory_order_relaxed));
  node.Set("signals", hypercalls_.signals.load(std::memory_order_relaxed));
  node.Set("overlay_pages", pages());
  synic_.Inspect(node.Child("synic"));
  timers_.Inspect(node.Child("timers"));
}

}  // namespace vmbuskit
