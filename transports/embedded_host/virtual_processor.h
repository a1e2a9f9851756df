// One virtual processor of an embedded partition: its SynIC, synthetic timers, APIC registers and assist page.
//
//   VirtualProcessor vp({.index = 0, .executor = guest, .host_executor = host, ...});
//   vp.synic().SetEventFlag(2, relid);
//
// Thread safety: as synic.h and synthetic_timers.h say; made before the executors run, destroyed after.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_VIRTUAL_PROCESSOR_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_VIRTUAL_PROCESSOR_H_

#include <atomic>
#include <cstdint>
#include <mutex>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/observe/inspect.h"
#include "platform/executor.h"
#include "platform/memory.h"
#include "transports/embedded_host/overlay_page.h"
#include "transports/embedded_host/partition_gates.h"
#include "transports/embedded_host/partition_options.h"
#include "transports/embedded_host/reference_clock.h"
#include "transports/embedded_host/synic.h"
#include "transports/embedded_host/synthetic_timers.h"

namespace vmbuskit {

// Plain integers of the processor's executor, written with relaxed atomics so that the host can read them.
struct HypercallCounters {
  std::atomic<uint64_t> calls = 0;
  std::atomic<uint64_t> failed = 0;  // status other than success
  std::atomic<uint64_t> messages = 0;
  std::atomic<uint64_t> signals = 0;
};

class VirtualProcessor {
 public:
  // `slots_moved` is called on the host executor when messages that waited may have gone out.
  VirtualProcessor(uint32_t index, Executor& executor, Executor& host_executor,
                   PartitionGates& gates, GuestMemory& memory, const ReferenceClock& clock,
                   const PartitionOptions& options, Callback slots_moved);

  uint32_t index() const { return index_; }
  Executor& executor() { return executor_; }
  Synic& synic() { return synic_; }
  SyntheticTimers& timers() { return timers_; }
  HypercallCounters& hypercalls() { return hypercalls_; }

  // VP_ASSIST_PAGE and TPR.
  uint64_t assist_register() const { return assist_word_.load(); }
  absl::Status WriteAssistRegister(uint64_t value);
  uint64_t tpr() const { return tpr_.load(); }
  void set_tpr(uint64_t value) { tpr_.store(value); }

  uint32_t pages() const { return synic_.pages() + uint32_t{assist_.enabled()}; }
  // Host executor.
  void Reset();
  // Saves, or takes over what was saved; with StateWriter or StateReader, while the processor does not run.
  template <typename Archive>
  void Exchange(Archive& archive);
  void Inspect(InspectNode& node);

 private:
  void OnHostWork();

  const uint32_t index_;
  Executor& executor_;
  Executor& host_executor_;
  const Callback slots_moved_;
  Event host_work_;
  Synic synic_;
  SyntheticTimers timers_;
  HypercallCounters hypercalls_;
  std::mutex mutex_;
  OverlayPage assist_;
  std::atomic<uint64_t> assist_word_ = 0;
  std::atomic<uint64_t> tpr_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_VIRTUAL_PROCESSOR_H_
