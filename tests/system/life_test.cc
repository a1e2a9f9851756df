// Traffic, interrupts, unload, crash, and what many devices cost.
#include "devices/echo/host/echo_host.h"
#include "devices/util/heartbeat/host/heartbeat_host.h"
#include "tests/system/script_class.h"
#include "tests/system/world.h"

namespace vmbuskit {
namespace {

using namespace std::chrono_literals;

class LifeTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(LifeTest, RingsFullOnBothSidesAtOnceLoseNothing) {
  constexpr uint32_t kPackets = 20'000;  // some twenty times what a ring holds
  ScriptPlan plan{.guest_sends = kPackets, .host_sends = kPackets};
  UseScriptPlan(&plan);
  World world({.seed = GetParam(), .vp_count = 2});
  world.Add(ScriptVspClass(), Instance(1));
  world.Start();
  world.Settle();
  world.Run(10s);
  EXPECT_EQ(plan.guest_received, kPackets);
  EXPECT_EQ(plan.host_received, kPackets);
  EXPECT_TRUE(plan.in_order);
}

TEST_P(LifeTest, AnInterruptBeforeTheOpenResultIsNotLost) {
  ScriptPlan plan{.host_sends_in_open = true};
  UseScriptPlan(&plan);
  World world({.seed = GetParam(), .vp_count = 2});
  world.Add(ScriptVspClass(), Instance(1));
  world.Start();
  world.Settle();
  world.Run(1s);
  EXPECT_EQ(plan.guest_received, 1u);
}

TEST_P(LifeTest, RetargetingUnderTrafficLosesNoInterrupt) {
  World world({.seed = GetParam(), .vp_count = 4});
  std::vector<DeviceId> echoes;
  for (uint32_t i = 0; i < 4; ++i) echoes.push_back(world.Add(EchoVspClass(), Instance(i)));
  world.Start();
  world.Settle();
  for (uint32_t round = 0; round < 12; ++round) {
    for (uint32_t i = 0; i < 4; ++i) {
      ASSERT_EQ(world.Await(world.bus->Retarget(Instance(i), 0, (round + i) % 4)),
                absl::OkStatus());
      world.Run(300ms);
    }
  }
  world.Run(3s);
  for (DeviceId echo : echoes) {
    EXPECT_GE(world.HostNumber(echo, "sent"), 15u);
    EXPECT_EQ(world.HostNumber(echo, "late"), 0u);
    EXPECT_EQ(world.HostNumber(echo, "answered"), world.HostNumber(echo, "sent"));
  }
}

TEST_P(LifeTest, ACpuGoesOfflineOnlyWhenItsChannelsMoved) {
  World world({.seed = GetParam(), .vp_count = 2});
  for (uint32_t i = 0; i < 4; ++i) world.Add(EchoVspClass(), Instance(i));
  world.Start();
  world.Settle();
  auto offline = [&](uint32_t cpu) {
    const SimTurn turn = world.sim.Enter(world.cpu(0));
    return world.bus->SetCpuOffline(cpu);
  };
  EXPECT_EQ(offline(0).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(offline(1).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(world.Await(world.bus->MoveChannelsAway(1)), absl::OkStatus());
  EXPECT_EQ(offline(1), absl::OkStatus());
  world.Add(EchoVspClass(), Instance(9));
  world.Run(1s);
  EXPECT_EQ(world.Info(Instance(9)).cpus, (std::vector<uint32_t>{0}));
}

TEST_P(LifeTest, UnloadWhileAProbeRunsEndsBoth) {
  ScriptPlan plan{.call_in_start = true, .call_deadline = 1h, .host_answers = false};
  UseScriptPlan(&plan);
  World world({.seed = GetParam()});
  world.Add(ScriptVspClass(), Instance(1));
  world.Add(EchoVspClass(), Instance(2));
  world.Start();
  world.Run(1s);
  EXPECT_EQ(world.State(Instance(1)), "starting");
  world.Stop();
  EXPECT_FALSE(plan.call_result.ok());
  EXPECT_EQ(world.transport->shared_pages(), 0u);
}

TEST_P(LifeTest, UnloadThenConnectAgainRunsEverythingAgain) {
  World world({.seed = GetParam()});
  const DeviceId echo = world.Add(EchoVspClass(), Instance(1));
  for (int round = 1; round <= 3; ++round) {
    world.Start();
    world.Settle();
    world.Run(2s);
    EXPECT_EQ(world.State(Instance(1)), "running");
    EXPECT_GE(world.HostNumber(echo, "answered"), 2u);
    world.Stop();
    EXPECT_EQ(world.host->shared_pages().total(), 0u);
  }
}

TEST_P(LifeTest, AGuestThatVanishesLeavesZeroPagesShared) {
  ScriptPlan plan{.shares_bytes = 1 << 20};
  UseScriptPlan(&plan);
  World world({.seed = GetParam(), .vp_count = 2, .guest_crashes = true});
  world.Add(ScriptVspClass(), Instance(1));
  world.Add(EchoVspClass(), Instance(2));
  world.Start();
  world.Settle();
  EXPECT_GT(world.host->shared_pages().gpadls, 256u);
  world.OnHost([](EmbeddedHost& host) { host.CrashGuest(); });
  EXPECT_EQ(world.host->shared_pages().total(), 0u);
}

TEST_P(LifeTest, CrashTeardownOfTheGuestLeavesZeroPagesShared) {
  ScriptPlan plan{.guest_sends = 5000, .shares_bytes = 1 << 20, .host_sends = 5000};
  UseScriptPlan(&plan);
  World world({.seed = GetParam(), .vp_count = 2, .guest_crashes = true});
  world.Add(ScriptVspClass(), Instance(1));
  world.Add(EchoVspClass(), Instance(2));
  world.Start();
  ASSERT_TRUE(world.sim.RunUntil([&] { return plan.guest_received > 500; }, 10s));
  {
    const SimTurn turn = world.sim.Enter(world.cpu(0));
    EXPECT_EQ(world.transport->CrashDisconnect(), absl::OkStatus());
  }
  EXPECT_EQ(world.transport->shared_pages(), 0u);
  EXPECT_EQ(world.transport->lost_pages(), 0u);
  EXPECT_EQ(world.host->shared_pages().total(), 0u);
}

TEST(ScaleTest, AThousandDevicesRunAndGoAndLeaveMemoryAsItWas) {
  ScriptPlan plan;
  UseScriptPlan(&plan);
  World world({.vp_count = 2, .page_count = 128 * 1024});
  world.Start();
  world.Settle();
  const uint64_t pages_before = world.pages->allocated();
  const uint64_t mapped_before = world.memory->mapped_pages();
  const uint64_t shared_before = world.host->shared_pages().total();
  std::vector<DeviceId> ids;
  for (uint32_t i = 0; i < 1000; ++i) ids.push_back(world.Add(EchoVspClass(), Instance(i)));
  world.Run(5s);
  EXPECT_EQ(world.Count(DeviceState::kRunning), 1000u);
  for (DeviceId id : ids) world.Remove(id);
  world.Run(5s);
  EXPECT_EQ(world.bus->device_count(), 0u);
  EXPECT_EQ(world.pages->allocated(), pages_before);
  EXPECT_EQ(world.memory->mapped_pages(), mapped_before);
  EXPECT_EQ(world.host->shared_pages().total(), shared_before);
}

TEST(ScaleTest, AnIdleDeviceTakesNoTurnOfAnyExecutor) {
  ScriptPlan plan;
  UseScriptPlan(&plan);
  World::Options options{.vp_count = 2};
  options.guest.monitor_pages = false;
  World world(options);
  for (uint32_t i = 0; i < 100; ++i) world.Add(ScriptVspClass(), Instance(i));
  world.Start();
  world.Settle();
  EXPECT_EQ(world.Count(DeviceState::kRunning), 100u);
  world.Run(1s);
  const uint64_t steps = world.sim.steps();
  world.Run(1h);
  EXPECT_EQ(world.sim.steps(), steps);
}

TEST(ScaleTest, DispatchTouchesOnlyTheChannelsWhoseFlagIsSet) {
  ScriptPlan plan;
  UseScriptPlan(&plan);
  World world({});
  for (uint32_t i = 0; i < 200; ++i) world.Add(ScriptVspClass(), Instance(i));
  const DeviceId echo = world.Add(EchoVspClass(), Instance(1000));
  world.Start();
  world.Settle();
  world.Run(500ms);
  const uint64_t interrupts = world.transport->synic(0).counters().interrupts;
  const uint64_t steps = world.sim.steps();
  world.Run(10s);
  // Ten echoes: each is an interrupt, and 200 idle neighbours cost no turn.
  EXPECT_GE(world.HostNumber(echo, "answered"), 10u);
  EXPECT_LE(world.transport->synic(0).counters().interrupts - interrupts, 12u);
  EXPECT_LE(world.sim.steps() - steps, 10u * 12u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LifeTest, ::testing::Range<uint64_t>(0, 5));

}  // namespace
}  // namespace vmbuskit
