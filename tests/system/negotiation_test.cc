// Versions, offers, order: what a guest must not depend on.
#include <algorithm>

#include "devices/echo/host/echo_host.h"
#include "devices/util/heartbeat/host/heartbeat_host.h"
#include "tests/system/script_class.h"
#include "tests/system/world.h"
#include "transports/protocol/versions.h"

namespace vmbuskit {
namespace {

using namespace std::chrono_literals;

class VersionTest : public ::testing::TestWithParam<uint32_t> {};

TEST_P(VersionTest, HostCappedAtThisVersionRunsEveryDevice) {
  World::Options options;
  options.host.server.max_version = GetParam();
  World world(options);
  const DeviceId echo = world.Add(EchoVspClass(), Instance(1));
  const DeviceId beat = world.Add(HeartbeatVspClass(), Instance(2));
  world.Start();
  world.Settle();
  EXPECT_EQ(world.transport->version(), GetParam());
  world.Run(5s);
  EXPECT_EQ(world.State(Instance(1)), "running");
  EXPECT_EQ(world.State(Instance(2)), "running");
  EXPECT_GE(world.HostNumber(echo, "answered"), 5u);
  EXPECT_EQ(world.HostNumber(echo, "wrong"), 0u);
  EXPECT_EQ(world.HostText(beat, "guest"), "ok");
  world.Stop();
  EXPECT_EQ(world.transport->version(), 0u);
}

INSTANTIATE_TEST_SUITE_P(EveryVersion, VersionTest, ::testing::ValuesIn(kVersionsNewestFirst),
                         [](const auto& info) {
                           std::string text = VersionText(info.param);
                           std::ranges::replace(text, '.', '_');
                           return "v" + text;
                         });

TEST(NegotiationTest, AHostOlderThanAnyOfOursIsAnErrorThatSaysSo) {
  World::Options options;
  options.host.server.max_version = kVersion2_4;
  options.guest.client.version_min = kVersion3_0;
  World world(options);
  const absl::Status status = world.Await(world.bus->Start());
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("version"));
}

class OfferTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(OfferTest, ShuffledOffersAllFindTheirDriver) {
  World::Options options{.seed = GetParam(), .vp_count = 2};
  options.host.server.offer_shuffle_seed = GetParam() + 1;
  World world(options);
  ScriptPlan plan;
  UseScriptPlan(&plan);
  for (uint32_t i = 0; i < 8; ++i) {
    world.Add(i % 2 == 0 ? EchoVspClass() : HeartbeatVspClass(), Instance(i));
  }
  world.Start();
  world.Settle();
  world.Run(2s);
  for (uint32_t i = 0; i < 8; ++i) {
    const DeviceInfo info = world.Info(Instance(i));
    EXPECT_EQ(info.state, DeviceState::kRunning);
    EXPECT_EQ(info.class_name, i % 2 == 0 ? "echo" : "heartbeat");
    EXPECT_GT(info.packets_in, 0u);
    EXPECT_GT(info.packets_out, 0u);
  }
}

TEST_P(OfferTest, OffersOneMinuteLateAreAsGood) {
  World world({.seed = GetParam()});
  world.Start();
  world.Settle();
  world.Run(60s);
  world.Add(EchoVspClass(), Instance(1));
  world.Run(60s);
  world.Add(HeartbeatVspClass(), Instance(2));
  world.Run(1s);
  EXPECT_EQ(world.State(Instance(1)), "running");
  EXPECT_EQ(world.State(Instance(2)), "running");
}

TEST_P(OfferTest, AClassWithoutADriverIsLeftAloneAndHarmsNobody) {
  constexpr VspClass kUnknown = {
      .name = "unknown",
      .class_id = Guid::Parse("276aacf4-ac15-426c-98dd-7521ad3f01fe"),
      .default_instance_id = {},
      .create = [](VspContext& context) { return EchoVspClass().create(context); },
  };
  World world({.seed = GetParam()});
  const DeviceId unknown = world.Add(kUnknown, Instance(1));
  world.Add(EchoVspClass(), Instance(2));
  world.Start();
  world.Settle();
  EXPECT_EQ(world.State(Instance(1)), "offered");
  EXPECT_EQ(world.State(Instance(2)), "running");
  world.Remove(unknown);
  world.Run(1s);
  EXPECT_EQ(world.State(Instance(1)), "gone");
}

TEST_P(OfferTest, AReofferedInstanceIsANewDevice) {
  World world({.seed = GetParam()});
  DeviceId echo = world.Add(EchoVspClass(), Instance(1));
  world.Start();
  world.Settle();
  for (int round = 0; round < 20; ++round) {
    world.Remove(echo);
    echo = world.Add(EchoVspClass(), Instance(1));
    world.Run(2s);
    ASSERT_EQ(world.State(Instance(1)), "running") << "round " << round;
    ASSERT_GE(world.HostNumber(echo, "answered"), 1u);
  }
}

TEST_P(OfferTest, ANewOfferMayUseTheRelidOfAnOldOne) {
  World world({.seed = GetParam()});
  const DeviceId first = world.Add(EchoVspClass(), Instance(1));
  world.Start();
  world.Settle();
  const uint32_t relid = world.Info(Instance(1)).relid;
  world.Remove(first);
  world.Run(1s);
  // Relids are handed out anew only when released: sooner or later the old number comes back.
  bool reused = false;
  for (uint32_t number = 2; number < 40 && !reused; ++number) {
    const DeviceId next = world.Add(EchoVspClass(), Instance(number));
    world.Run(1s);
    ASSERT_EQ(world.State(Instance(number)), "running");
    reused = world.Info(Instance(number)).relid == relid;
    world.Remove(next);
    world.Run(1s);
  }
  EXPECT_TRUE(reused);
}

INSTANTIATE_TEST_SUITE_P(Seeds, OfferTest, ::testing::Range<uint64_t>(0, 4));

}  // namespace
}  // namespace vmbuskit
