// Leads one scenario: boots, disturbs, waits until nothing is under way, checks, and ends.
//
// Thread safety: one thread. Used by RunScenario.
#ifndef VMBUSKIT_TESTS_SCENARIO_DIRECTOR_H_
#define VMBUSKIT_TESTS_SCENARIO_DIRECTOR_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "framework/task/spawn.h"
#include "tests/scenario/machine.h"
#include "tests/scenario/scenario.h"
#include "tests/scenario/workload.h"

namespace vmbuskit {

class Director {
 public:
  Director(const FaultPlan& plan, const ScenarioOptions& options);
  ~Director();

  // All of it; the result also when an invariant broke.
  ScenarioResult Run();

 private:
  struct Device {
    std::optional<DeviceId> id;  // on offer
    bool harmed = false;
  };
  bool ok() const { return machine_->faults().violation().ok(); }

  void BootAndStart();
  void StartBus();
  // A new connection: every device has fresh memory.
  void ForgetHarm();
  void Round();
  void Disturb();
  void Offer(uint32_t device);
  void Rescind(uint32_t device);
  void RescindInTheAct(uint32_t device);
  void Restart(uint32_t device);
  void Retarget(uint32_t device);
  void HoldUp(uint32_t device);
  void Reconnect(uint32_t);
  void Crash(uint32_t);
  void RestoreHost(uint32_t);
  void ScribbleInRing(uint32_t device);
  void SendHostileMessage(uint32_t);
  void DisturbWorkload(uint32_t device);
  void OnSilence() { excused_ = true; }
  void OnGuestEnded() { workload_->ReleaseGuest(machine_->sim()); }

  void Spawn(const char* what, Task<absl::Status> task);
  void JoinOperations();
  // Everything that the host keeps to itself, or makes up, excuses every device until the next connection.
  void ExcuseHost();

  void Settle();
  bool IsSettled();
  void CheckQuiescent();
  void CheckDevice(uint32_t device, const std::vector<DeviceInfo>& infos);
  void CheckAccounts();
  void End();

  Random random_;
  std::unique_ptr<Machine> machine_;
  FaultSource& faults_;
  std::unique_ptr<Workload> workload_;
  std::vector<Device> devices_;
  std::unique_ptr<TaskGroup> operations_;
  bool excused_ = false;  // the host was silent, or lied, on this connection
  absl::Status started_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_DIRECTOR_H_
