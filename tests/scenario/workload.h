// The traffic of a scenario: which devices there are, what they do, and how both ends know that nothing went wrong.
// Every device class brings one of its own; the scenario brings faults, disturbances and everything that holds for
// all of them.
//
//   class MyWorkload final : public Workload { ... };
//   std::unique_ptr<Workload> MakeMyWorkload(FaultSource& faults);      // and a line in MakeWorkload
//
// What goes wrong is told to FaultSource::Report. Devices are numbered from 0; some may be absent at times.
// Thread safety: the scheduler's thread.
#ifndef VMBUSKIT_TESTS_SCENARIO_WORKLOAD_H_
#define VMBUSKIT_TESTS_SCENARIO_WORKLOAD_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "framework/base/guid.h"
#include "framework/bus/device.h"
#include "framework/bus/device_observer.h"
#include "platform/random.h"
#include "platform/sim/scheduler.h"
#include "tests/scenario/fault_source.h"
#include "transports/embedded_host/embedded_host.h"

namespace vmbuskit {

class Workload {
 public:
  // What a workload does not count stays 0, and its campaign does not show it (campaign_report.cc).
  struct Figures {
    uint64_t packets = 0;
    uint64_t signals = 0;
    uint64_t wakeups = 0;
    uint64_t needless_wakeups = 0;
    uint64_t lun_resets = 0;
    uint64_t bus_resets = 0;
  };

  virtual ~Workload() = default;

  virtual std::span<const DeviceClass* const> classes() const = 0;
  virtual uint32_t device_count() const = 0;
  virtual Guid instance(uint32_t device) const = 0;
  // Offers the device, which is not there now, as a new one. In a turn of the host.
  virtual absl::StatusOr<DeviceId> Offer(EmbeddedHost& host, uint32_t device) = 0;

  // Every running device has more to do from now on. Between turns.
  virtual void StartRound(SimScheduler& sim) = 0;
  // Nothing of it is under way.
  virtual bool idle() const = 0;
  // The guest runs the device, nothing is under way, no fault was injected for long enough: everything that was
  // promised must have happened.
  virtual void CheckQuiescent(EmbeddedHost& host, uint32_t device, DeviceId id) = 0;
  // The guest is gone.
  virtual void CheckEnded() = 0;

  // From now on, until it is offered again, foreign bytes are in the device's memory.
  virtual void Harm(uint32_t device) = 0;
  // The device has fresh memory: what is found there is to be believed again.
  virtual void Renew(uint32_t device) = 0;
  virtual Figures figures() const = 0;

  // ---- For workloads whose users live in the guest beside its devices.

  // Told of running devices; null: nobody wants to know.
  virtual DeviceObserver* observer() { return nullptr; }
  // There is a guest with these processors; its bus is not started yet. Between turns.
  virtual void OnBoot(std::span<SimExecutor* const> cpus) { (void)cpus; }
  // Its devices have stopped and its memory goes next: nobody may use it any more. Between turns.
  virtual void ReleaseGuest(SimScheduler& sim) { (void)sim; }
  // The guest dies now, without a word to the host or not; and it is dead. Between turns.
  virtual void BeginCrash(SimScheduler& sim, bool without_a_word) {
    (void)sim, (void)without_a_word;
    for (uint32_t device = 0; device < device_count(); ++device) Harm(device);
  }
  virtual void EndCrash() {}
  // There is no host any more. Between turns.
  virtual void ReleaseHost(SimScheduler& sim) { (void)sim; }

  // Something of the workload's own happens to a device on offer. In a turn of the host.
  virtual bool has_disturbances() const { return false; }
  virtual void Disturb(EmbeddedHost& host, uint32_t device, DeviceId id, Random& random) {
    (void)host, (void)device, (void)id, (void)random;
  }
  // Foreign bytes in one ring lead to foreign bytes anywhere: the ring names other memory of the guest.
  virtual bool harm_spreads() const { return false; }
  // Back ends of the host use guest memory, and let go of it some turns after BeginCrash.
  virtual bool holds_memory() const { return false; }
  // The host can be saved and restored under it.
  virtual bool can_be_saved() const { return true; }
};

// Null: there is none of that name.
std::unique_ptr<Workload> MakeWorkload(std::string_view name, FaultSource& faults);

std::unique_ptr<Workload> MakeFoundationWorkload(FaultSource& faults);
std::unique_ptr<Workload> MakeStorageWorkload(FaultSource& faults);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_WORKLOAD_H_
