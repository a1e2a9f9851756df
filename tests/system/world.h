// The whole system in virtual time: embedded host, partition, SynIC transport and bus on one thread, with a seed that
// orders whose turn is next.
//
//   World world({.seed = 7});
//   DeviceId echo = world.Add(EchoVspClass(), Instance(1));
//   world.Start();
//   EXPECT_EQ(world.State(Instance(1)), "running");
//   world.Stop();                       // and then, in the destructor: no page is shared any more
//
// Thread safety: one thread.
#ifndef VMBUSKIT_TESTS_SYSTEM_WORLD_H_
#define VMBUSKIT_TESTS_SYSTEM_WORLD_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "framework/bus/bus.h"
#include "framework/task/run_task.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/linux/memfd_memory.h"
#include "platform/page_allocator.h"
#include "platform/sim/scheduler.h"
#include "tests/system/watched_partition.h"
#include "transports/embedded_host/embedded_host.h"
#include "transports/synic/synic_transport.h"

namespace vmbuskit {

// Instance GUIDs that tests can tell apart.
Guid Instance(uint32_t number);

class World {
 public:
  struct Options {
    uint64_t seed = 0;
    uint32_t vp_count = 1;
    uint64_t page_count = 64 * 1024;
    EmbeddedHost::Options host{};
    SynicTransport::Options guest{};
    Bus::Options bus{};
    bool check_leaks = true;     // a test of a silent host expects lost pages
    bool guest_crashes = false;  // nothing of the guest is expected to end well
  };

  explicit World(Options options);
  ~World();

  DeviceId Add(const VspClass& vsp_class, const Guid& instance);
  void Remove(DeviceId id);
  // The same, when the host gets to it: from inside of the guest's turn.
  void RemoveSoon(DeviceId id);

  void Start() { ASSERT_EQ(Await(bus->Start()), absl::OkStatus()); }
  // Until every offered device runs or failed.
  void Settle(Duration limit = std::chrono::minutes(5)) {
    ASSERT_EQ(Await(bus->WaitUntilSettled(limit)), absl::OkStatus());
  }
  void Stop() { ASSERT_EQ(Await(bus->Stop()), absl::OkStatus()); }
  void Run(Duration duration) { ASSERT_EQ(sim.RunFor(duration), absl::OkStatus()); }

  template <typename T>
  T Await(Task<T> task) {
    std::optional<T> result = RunTask(sim, cpu(0), std::move(task), std::chrono::hours(1));
    EXPECT_TRUE(result.has_value()) << "the task did not end: " << sim.status();
    return *std::move(result);
  }

  template <typename F>
  auto OnHost(F call) {
    const SimTurn turn = sim.Enter(host_executor);
    return call(*host);
  }

  SimExecutor& cpu(uint32_t vp) { return *cpus[vp]; }
  // Of the device of that instance; "(none)" when the bus does not know it.
  DeviceInfo Info(const Guid& instance);
  std::string State(const Guid& instance);
  uint32_t Count(DeviceState state);
  // A number or text of the host's device of that instance.
  uint64_t HostNumber(DeviceId id, std::string_view name);
  std::string HostText(DeviceId id, std::string_view name);

  SimScheduler sim;
  SimExecutor& host_executor;
  std::vector<SimExecutor*> cpus;
  std::unique_ptr<MemfdMemory> memory;
  std::unique_ptr<FirstFitPageAllocator> pages;
  std::unique_ptr<EmbeddedHost> host;
  std::unique_ptr<WatchedPartition> partition;
  std::unique_ptr<SynicTransport> transport;
  std::unique_ptr<Bus> bus;

 private:
  struct Removal {
    World* world;
    DeviceId id;
    void Run() { EXPECT_EQ(world->host->RemoveDevice(id), absl::OkStatus()); }
  };

  // What a crashing guest does between two looks at its message slots: the host goes on.
  void PauseInCrash() { ASSERT_EQ(sim.RunFor(std::chrono::milliseconds(10)), absl::OkStatus()); }
  InspectNode InspectHostDevice(DeviceId id);

  const bool check_leaks_;
  const bool guest_crashes_;
  std::vector<std::unique_ptr<Removal>> removals_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SYSTEM_WORLD_H_
