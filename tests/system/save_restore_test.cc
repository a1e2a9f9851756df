// The host is saved and restored in mid-flight, again and again, between any two turns of anybody: guest, drivers and
// workloads must not notice.
#include <chrono>
#include <memory>
#include <utility>

#include "devices/echo/host/echo_host.h"
#include "devices/util/heartbeat/host/heartbeat_host.h"
#include "framework/task/run_task.h"
#include "platform/random.h"
#include "tests/system/script_class.h"
#include "tests/system/world.h"

namespace vmbuskit {
namespace {

using namespace std::chrono_literals;

// Runs a world and restores its host before one turn in `every`, by chance.
class Restorer {
 public:
  Restorer(World& world, uint64_t seed, uint32_t every)
      : world_(world), random_(seed + 1), every_(every) {}

  void Run(Duration duration) {
    (void)world_.sim.RunUntil([&] { return BeforeTurn(); }, duration);
    EXPECT_EQ(world_.sim.status(), absl::OkStatus());
  }
  void Await(Task<absl::Status> task) {
    TaskGroup group(world_.cpu(0), "Restorer");
    std::optional<absl::Status> result;
    group.Spawn(KeepResult(std::move(task), &result));
    (void)world_.sim.RunUntil([&] { return group.running() == 0 || BeforeTurn(); }, 1h);
    group.DestroyAll();
    ASSERT_TRUE(result.has_value()) << world_.sim.status();
    EXPECT_EQ(*result, absl::OkStatus());
  }
  void StartAndSettle() {
    Await(world_.bus->Start());
    Await(world_.bus->WaitUntilSettled(5min));
  }

  uint32_t restores() const { return restores_; }

 private:
  // A restored host has work to do, so that time would never pass if this went on for ever.
  static constexpr uint32_t kPerInstantMax = 15;

  bool BeforeTurn() {
    if (std::exchange(instant_, world_.sim.Now()) != world_.sim.Now()) in_instant_ = 0;
    if (in_instant_ == kPerInstantMax || random_.Below(every_) != 0) return false;
    ++in_instant_;
    ++restores_;
    const absl::Status status = world_.OnHost([](EmbeddedHost& host) {
      absl::StatusOr<std::vector<std::byte>> bytes = host.Save();
      return bytes.ok() ? host.Restore(*bytes) : bytes.status();
    });
    EXPECT_EQ(status, absl::OkStatus()) << "restore " << restores_;
    return !status.ok();
  }

  World& world_;
  Random random_;
  const uint32_t every_;
  Instant instant_{};
  uint32_t in_instant_ = 0;
  uint32_t restores_ = 0;
};

class SaveRestoreTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  uint64_t seed() const { return GetParam(); }
  // Seed 0 at every turn that it may, the others more seldom.
  uint32_t every() const { return 1 + static_cast<uint32_t>(seed()) * 2; }
};

void ExpectNoEchoLost(World& world, DeviceId echo, uint64_t at_least) {
  EXPECT_GE(world.HostNumber(echo, "sent"), at_least);
  EXPECT_EQ(world.HostNumber(echo, "answered"), world.HostNumber(echo, "sent"));
  EXPECT_EQ(world.HostNumber(echo, "wrong"), 0u);
  EXPECT_EQ(world.HostNumber(echo, "late"), 0u);
}

TEST_P(SaveRestoreTest, TrafficBothWaysLosesAndRepeatsNothing) {
  constexpr uint32_t kPackets = 5'000;
  ScriptPlan plan{.guest_sends = kPackets, .host_sends = kPackets};
  UseScriptPlan(&plan);
  World world({.seed = seed(), .vp_count = 2});
  const DeviceId echo = world.Add(EchoVspClass(), Instance(1));
  const DeviceId heartbeat = world.Add(HeartbeatVspClass(), Instance(2));
  world.Add(ScriptVspClass(), Instance(3));
  Restorer restorer(world, seed(), every());
  restorer.StartAndSettle();
  restorer.Run(10s);
  EXPECT_GT(restorer.restores(), 8u);
  world.Run(5s);
  EXPECT_EQ(plan.guest_received, kPackets);
  EXPECT_EQ(plan.host_received, kPackets);
  EXPECT_TRUE(plan.in_order);
  ExpectNoEchoLost(world, echo, 14);
  EXPECT_EQ(world.HostText(heartbeat, "state"), "ready");
  EXPECT_EQ(world.HostText(heartbeat, "guest"), "ok");
  EXPECT_EQ(world.HostNumber(heartbeat, "beats_missed"), 0u);
  for (uint32_t i = 1; i <= 3; ++i) EXPECT_EQ(world.State(Instance(i)), "running") << i;
}

TEST_P(SaveRestoreTest, OpenShareCallSubchannelsCloseUnloadAndAgain) {
  ScriptPlan plan{.call_in_start = true,
                  .wants_subchannels = 3,
                  .shares_bytes = 1 << 20,
                  .host_sends_in_open = true};
  UseScriptPlan(&plan);
  World world({.seed = seed(), .vp_count = 2});
  world.Add(ScriptVspClass(), Instance(1));
  const DeviceId echo = world.Add(EchoVspClass(), Instance(2));
  Restorer restorer(world, seed(), every());
  for (uint32_t round = 1; round <= 3; ++round) {
    restorer.StartAndSettle();
    restorer.Run(1s);
    EXPECT_EQ(world.State(Instance(1)), "running");
    EXPECT_EQ(world.State(Instance(2)), "running");
    EXPECT_EQ(plan.call_result, absl::OkStatus());
    EXPECT_EQ(plan.guest_received, round);
    EXPECT_GE(world.HostNumber(echo, "answered"), 1u);
    restorer.Await(world.bus->Stop());
    EXPECT_EQ(world.host->shared_pages().total(), 0u);
  }
}

TEST_P(SaveRestoreTest, DevicesComeAndGoMeanwhile) {
  World world({.seed = seed(), .vp_count = 2});
  std::vector<DeviceId> devices;
  for (uint32_t i = 0; i < 4; ++i) devices.push_back(world.Add(EchoVspClass(), Instance(i)));
  const DeviceId stays = world.Add(EchoVspClass(), Instance(9));
  Restorer restorer(world, seed(), every() + 3);
  restorer.StartAndSettle();
  Random random(seed() + 99);
  for (int round = 0; round < 12; ++round) {
    const uint32_t number = static_cast<uint32_t>(random.Below(devices.size()));
    world.RemoveSoon(devices[number]);
    restorer.Run(std::chrono::milliseconds(random.Below(3)));
    world.sim.RunUntil([&] { return world.host->FindVsp(devices[number]) == nullptr; }, 1s);
    if (random.Below(2) == 0) restorer.Run(std::chrono::milliseconds(random.Below(1500)));
    devices[number] = world.Add(EchoVspClass(), Instance(number));
  }
  restorer.Await(world.bus->WaitUntilSettled(5min));
  world.Run(5s);
  for (uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(world.State(Instance(i)), "running") << i;
    ExpectNoEchoLost(world, devices[i], 3);
  }
  ExpectNoEchoLost(world, stays, 5);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SaveRestoreTest, ::testing::Range<uint64_t>(0, 4));

}  // namespace
}  // namespace vmbuskit
