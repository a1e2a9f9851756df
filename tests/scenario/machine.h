// Guest and host of one scenario on a seeded scheduler: the host for good, guests one after the other.
//
//   Machine machine(plan, seed, trace);
//   machine.Boot(workload.classes());
//   machine.AwaitStatus("Bus::Start", machine.bus().Start());
//   machine.Shutdown(/*host_was_silent=*/false);      // everything must be the guest's again
//
// Thread safety: one thread. Errors: what does not hold is told to the FaultSource.
#ifndef VMBUSKIT_TESTS_SCENARIO_MACHINE_H_
#define VMBUSKIT_TESTS_SCENARIO_MACHINE_H_

#include <cstdint>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "framework/bus/bus.h"
#include "framework/task/run_task.h"
#include "platform/sim/scheduler.h"
#include "platform/sim/slot_page_allocator.h"
#include "tests/scenario/fault_source.h"
#include "tests/scenario/faulty_outbox.h"
#include "tests/scenario/faulty_partition.h"
#include "tests/scenario/scenario_memory.h"
#include "tests/scenario/watched_pages.h"
#include "transports/embedded_host/embedded_host.h"
#include "transports/synic/synic_transport.h"

namespace vmbuskit {

class Machine {
 public:
  Machine(const FaultPlan& plan, uint64_t seed, std::ostream* trace);
  ~Machine();

  // A guest with fresh memory management and these drivers, not connected yet.
  void Boot(std::span<const DeviceClass* const> classes, DeviceObserver* observer = nullptr);
  // Called when a guest's devices have stopped, before its memory goes.
  void set_on_guest_ended(Callback on_guest_ended) { on_guest_ended_ = on_guest_ended; }
  // The guest says good-bye. What it shared must be its own again, unless `host_was_silent`.
  void Shutdown(bool host_was_silent);
  // The guest dies: with its crash path, or without a word (the machine is reset). Nothing is left of it, at once or,
  // when back ends `hold_memory`, within a moment.
  void Crash(bool with_crash_path, bool hold_memory = false);

  // Ends what is left, guest and host; the workload's last sight of them.
  void TearDown();

  bool booted() const { return guest_ != nullptr; }
  Bus& bus() { return *guest_->bus; }
  SynicTransport& transport() { return *guest_->transport; }
  EmbeddedHost& host() { return *host_; }
  FaultyOutbox& outbox() { return outbox_; }
  FaultSource& faults() { return faults_; }
  SimScheduler& sim() { return sim_; }
  SimExecutor& host_executor() { return host_executor_; }
  SimExecutor& cpu(uint32_t vp) { return *cpus_[vp]; }
  uint32_t vp_count() const { return static_cast<uint32_t>(cpus_.size()); }
  std::span<SimExecutor* const> cpus() const { return cpus_; }
  ReusedMemory& memory() { return *memory_; }

  // Reports, and gives an error, when the task does not end within an hour.
  template <typename T>
  absl::StatusOr<T> Await(const char* what, Task<T> task) {
    std::optional<T> result = RunTask(sim_, cpu(0), std::move(task), std::chrono::hours(1));
    if (result.has_value()) return *std::move(result);
    Hung(what);
    return absl::DeadlineExceededError(what);
  }
  absl::Status AwaitStatus(const char* what, Task<absl::Status> task) {
    absl::StatusOr<absl::Status> result = Await(what, std::move(task));
    return result.ok() ? *result : result.status();
  }
  // False after an invariant broke.
  bool RunFor(Duration duration);
  // At most `limit`, until so many more turns were taken.
  bool RunTurns(uint64_t turns, Duration limit);
  // At most `limit`, until the host said what the outbox watches for.
  bool RunUntilWatched(Duration limit);

  template <typename F>
  auto OnHost(F call) {
    const SimTurn turn = sim_.Enter(host_executor_);
    return call(*host_);
  }
  template <typename F>
  auto OnBus(F call) {
    const SimTurn turn = sim_.Enter(cpu(0));
    return call(*guest_->bus);
  }

 private:
  struct Guest {
    std::unique_ptr<WatchedPages> pages;
    std::unique_ptr<SynicTransport> transport;
    std::unique_ptr<Bus> bus;
  };

  void Hung(const char* what);
  void Destroy(bool pages_may_be_lost);
  void Expect(const char* what, uint64_t found, uint64_t expected);
  void PauseInCrash();

  SimScheduler sim_;
  FaultSource faults_;
  SimExecutor& host_executor_;
  std::vector<SimExecutor*> cpus_;
  ReusedMemory* memory_ = nullptr;  // the process's
  FaultyOutbox outbox_;
  std::unique_ptr<EmbeddedHost> host_;
  std::unique_ptr<FaultyPartition> partition_;
  std::unique_ptr<Guest> guest_;
  Callback on_guest_ended_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_MACHINE_H_
