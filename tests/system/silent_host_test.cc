// A host that does not answer: every wait ends with its deadline, says what it waited for, and frees or deliberately
// leaks what it held.
#include "devices/echo/host/echo_host.h"
#include "tests/system/script_class.h"
#include "tests/system/world.h"

namespace vmbuskit {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

TEST(SilentHost, ThatNeverAnswersTheContactEndsTheStartWithinItsDeadline) {
  World world({.check_leaks = false});
  world.partition->on_post = [](MessageType) { return false; };
  const Instant before = world.sim.Now();
  const absl::Status status = world.Await(world.bus->Start());
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_LE(world.sim.Now() - before, 61s);
}

// The message that is never answered. The pages that the host may still use are withheld; the unload, which it does
// answer, brings them back (the world checks that at its end).
class SilentHostTest : public ::testing::TestWithParam<MessageType> {};

TEST_P(SilentHostTest, FailsTheDeviceWithinTheDeadlineAndHarmsNobody) {
  ScriptPlan plan;
  UseScriptPlan(&plan);
  World world({});
  const DeviceId echo = world.Add(EchoVspClass(), Instance(2));
  world.Start();
  world.Settle();
  bool silent = true;
  world.partition->on_post = [&](MessageType posted) { return !(silent && posted == GetParam()); };
  world.Add(ScriptVspClass(), Instance(1));
  world.Run(1s);
  EXPECT_EQ(world.State(Instance(1)), "starting");
  world.Run(180s);
  const DeviceInfo info = world.Info(Instance(1));
  EXPECT_EQ(info.state, DeviceState::kFailed) << ToString(info.state);
  EXPECT_THAT(info.status, HasSubstr("waited"));
  EXPECT_EQ(world.State(Instance(2)), "running");
  EXPECT_GE(world.HostNumber(echo, "answered"), 100u);
  EXPECT_GT(world.transport->withheld_pages(), 0u);
  silent = false;
  world.Stop();
  EXPECT_EQ(world.transport->withheld_pages(), 0u);
  EXPECT_EQ(world.pages->leaked(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Message, SilentHostTest,
                         ::testing::Values(MessageType::kGpadlHeader, MessageType::kGpadlBody,
                                           MessageType::kOpenChannel),
                         [](const auto& info) {
                           return "nr" + std::to_string(static_cast<int>(info.param));
                         });

TEST(SilentHost, ThatNeverAnswersARequestEndsTheStart) {
  ScriptPlan plan{.call_in_start = true, .call_deadline = 30s, .host_answers = false};
  UseScriptPlan(&plan);
  World world({});
  world.Add(ScriptVspClass(), Instance(1));
  world.Start();
  world.Run(29s);
  EXPECT_EQ(world.State(Instance(1)), "starting");
  world.Run(2s);
  EXPECT_EQ(world.State(Instance(1)), "failed");
  EXPECT_EQ(plan.call_result.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(SilentHost, ThatAnswersNoTearDownCostsOneDeadlineForAllChannels) {
  ScriptPlan plan{.wants_subchannels = 8, .shares_bytes = 1 << 16};
  UseScriptPlan(&plan);
  World world({.vp_count = 2});
  for (uint32_t i = 0; i < 4; ++i) world.Add(ScriptVspClass(), Instance(i));
  world.Start();
  world.Settle();
  EXPECT_EQ(world.transport->open_channels(), 36u);
  world.partition->on_post = [](MessageType type) { return type != MessageType::kGpadlTeardown; };
  const Instant before = world.sim.Now();
  world.Stop();
  EXPECT_GE(world.sim.Now() - before, 60s);
  EXPECT_LE(world.sim.Now() - before, 70s);
  EXPECT_EQ(world.pages->leaked(), 0u);
}

TEST(SilentHost, ThatRefusesTheOpenFailsTheDeviceAndGetsItsMemoryBack) {
  ScriptPlan plan{.host_refuses_open = true};
  UseScriptPlan(&plan);
  World world({});
  world.Add(ScriptVspClass(), Instance(1));
  world.Start();
  world.Settle();
  EXPECT_EQ(world.State(Instance(1)), "failed");
  EXPECT_EQ(world.transport->open_channels(), 0u);
  plan.host_refuses_open = false;
  {
    const SimTurn turn = world.sim.Enter(world.cpu(0));
    ASSERT_EQ(world.bus->RestartDevice(Instance(1)), absl::OkStatus());
  }
  world.Settle();
  EXPECT_EQ(world.State(Instance(1)), "running");
}

TEST(SilentHost, GpadlLimitHitThenFreedLetsTheNextDeviceRun) {
  ScriptPlan plan{.shares_bytes = 1 << 20};
  UseScriptPlan(&plan);
  World::Options options;
  options.host.server.gpadl_limit_bytes = 2 << 20;
  World world(options);
  const DeviceId first = world.Add(ScriptVspClass(), Instance(1));
  world.Start();
  world.Settle();
  world.Add(ScriptVspClass(), Instance(2));
  world.Run(1s);
  EXPECT_EQ(world.State(Instance(1)), "running");
  EXPECT_EQ(world.State(Instance(2)), "failed");
  EXPECT_GE(world.host->server().counters().gpadls_over_limit, 1u);
  world.Remove(first);
  world.Run(1s);
  {
    const SimTurn turn = world.sim.Enter(world.cpu(0));
    ASSERT_EQ(world.bus->RestartDevice(Instance(2)), absl::OkStatus());
  }
  world.Settle();
  EXPECT_EQ(world.State(Instance(2)), "running");
}

}  // namespace
}  // namespace vmbuskit
