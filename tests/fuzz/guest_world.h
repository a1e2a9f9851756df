// A whole guest in virtual time, for a fuzzer that plays its host: transport, bus, three real
// device classes (echo, heartbeat, chatter), and beside what is attacked one honest echo device. At
// its end it checks that nothing was lost.
//
//   GuestWorld world(memory, {.guarded = true});
//   world.host().Rescind(3);
//   world.Settle();                        // ends: nobody may wake himself for ever
//   world.Finish(GuestWorld::Ending::kUnload);
//
// Thread safety: the simulation's thread. Lifetime: the memory outlives it and may serve one world
// after the other. Errors: a requirement that does not hold ends the program.
#ifndef VMBUSKIT_TESTS_FUZZ_GUEST_WORLD_H_
#define VMBUSKIT_TESTS_FUZZ_GUEST_WORLD_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "framework/base/fuzzing.h"
#include "framework/bus/bus.h"
#include "framework/bus/device_observer.h"
#include "framework/task/run_task.h"
#include "platform/linux/memfd_memory.h"
#include "platform/page_allocator.h"
#include "platform/sim/scheduler.h"
#include "tests/fuzz/chatter.h"
#include "tests/fuzz/honest_echo.h"
#include "tests/fuzz/hostile_host.h"
#include "transports/synic/fake_partition.h"
#include "transports/synic/synic_transport.h"
#include "transports/synic/synthetic_timer.h"

namespace vmbuskit {

class GuestWorld {
 public:
  static constexpr uint64_t kPages = 512;

  struct Options {
    HostileHost::Options host{};
    uint64_t seed = 0;
    uint64_t pages = kPages - 8;  // that the guest has
    uint32_t client_features = 0;
    bool isolated = false;
    bool monitor_pages = true;
    uint32_t failing_register = 0;  // 0: none; not with a guarded host
    uint32_t silent = 0;            // from the beginning; not with a guarded host
    uint32_t crash_polls_max = 8;
    bool late_chatter = false;  // registered by RegisterChatter only
    bool impatient = false;     // short deadlines for whole devices
    bool few = false;  // small limits; those of messages and GPADLs not with a guarded host
    bool direct_timers = true;
    ChatterLog chatter{};
  };
  enum class Ending { kUnload, kSilent, kCrash };

  GuestWorld(MemfdMemory& memory, const Options& options);

  HostileHost& host() { return host_; }
  FakePartition& partition() { return partition_; }
  Bus& bus() { return *bus_; }
  SynicTransport& transport() { return *transport_; }
  ChatterLog& chatter() { return chatter_; }
  SimExecutor& cpu(uint32_t vp) { return vp % 2 == 0 ? cpu0_ : cpu1_; }
  SimScheduler& sim() { return sim_; }

  // Until nothing moves.
  void Settle() { Require(sim_.RunUntilIdle().ok()); }
  void Pass(Duration time) { Require(sim_.RunFor(time).ok()); }
  // Beside everything else; what it answers is nobody's business.
  void Spawn(Task<absl::Status> task) { background_.Spawn(Ignore(std::move(task))); }
  void Spawn(Task<void> task) { background_.Spawn(std::move(task)); }
  // Ends the connection and makes it again, in the background; one at a time.
  void Reconnect();
  void RegisterChatter() { (void)bus_->RegisterClasses(std::span(kChatter)); }
  // A synthetic timer of a processor, for the host to fire; with a guarded host only.
  void ArmTimer(uint32_t vp, uint32_t index, uint64_t deadline);

  // Everything ends; then the accounts must balance.
  void Finish(Ending ending);

 private:
  // Who has it all told.
  class Observer final : public DeviceObserver {
   public:
    void OnDeviceRunning(const RunningDevice&) override { ++running; }
    void OnDeviceStopping(const RunningDevice&) override { Require(running-- > 0); }
    int running = 0;
  };
  static constexpr uint32_t kTimers = 4;
  static const DeviceClass* const kChatter[1];

  void OnTimer() {}
  void DropTimers();
  static Task<void> Ignore(Task<absl::Status> task);
  Task<void> StopAndStart();
  void CheckHonest();
  void StopBus();
  void CheckAccounts(bool all_answered);

  const bool guarded_;
  SimScheduler sim_;
  SimExecutor& cpu0_;
  SimExecutor& cpu1_;
  SimExecutor& host_cpu_;
  MemfdMemory& memory_;
  FirstFitPageAllocator pages_;
  ChatterLog chatter_;
  FakePartition partition_;
  HonestEcho honest_;
  HostileHost host_;
  std::unique_ptr<SynicTransport> transport_;
  Observer observer_;
  std::unique_ptr<Bus> bus_;
  std::array<std::unique_ptr<SyntheticTimer>, 2 * kTimers> timers_;
  TaskGroup background_;
  bool reconnecting_ = false;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_FUZZ_GUEST_WORLD_H_
