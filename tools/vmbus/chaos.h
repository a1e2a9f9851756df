// What a machine's host does to its guest, again and again, so that clients can be tested with it: takes controllers
// away and gives them back, takes disks away and gives them back.
//
//   absl::StatusOr<ChaosPlan> plan = ParseChaos("rescind:1s,hotplug:500ms");
//   Chaos chaos(system.executor(), system.host_executor(), devices, machine, *plan);
//   chaos.Start();
//   ...
//   absl::Status ended = co_await chaos.Stop();          // everything is back in its place
//
// Thread safety: the executor it was given; visits the host's. Lifetime: Stop before the destructor.
// Errors: the first that the host made; shown by status().
#ifndef VMBUSKIT_TOOLS_VMBUS_CHAOS_H_
#define VMBUSKIT_TOOLS_VMBUS_CHAOS_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/task/cancel.h"
#include "framework/task/spawn.h"
#include "framework/task/task.h"
#include "platform/executor.h"
#include "tools/vmbus/machine_host.h"

namespace vmbuskit {

struct ChaosPlan {
  Duration rescind{};  // zero: never
  Duration hotplug{};
  bool any() const { return rescind != Duration::zero() || hotplug != Duration::zero(); }
};

// "rescind:1s,hotplug:250ms"; InvalidArgument.
absl::StatusOr<ChaosPlan> ParseChaos(std::string_view text);

class Chaos {
 public:
  Chaos(Executor& executor, Executor& host_executor, MachineHost& devices, const Machine& machine,
        const ChaosPlan& plan);

  void Start();
  Task<absl::Status> Stop();

  const absl::Status& status() const { return status_; }
  uint64_t rescinds() const { return rescinds_; }
  uint64_t hotplugs() const { return hotplugs_; }

 private:
  Task<void> RescindForEver();
  Task<void> HotplugForEver();
  Task<bool> Pause(Duration duration);  // false: it is to end
  Task<absl::Status> OfferAgain(size_t controller);

  Executor& executor_;
  Executor& host_executor_;
  MachineHost& devices_;
  const Machine& machine_;
  const ChaosPlan plan_;
  CancelScope until_stop_;
  absl::Status status_;
  uint64_t rescinds_ = 0;
  uint64_t hotplugs_ = 0;
  TaskGroup tasks_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_CHAOS_H_
