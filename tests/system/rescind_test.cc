// The host takes a device away at every moment of its life.
#include "devices/echo/host/echo_host.h"
#include "tests/system/script_class.h"
#include "tests/system/world.h"

namespace vmbuskit {
namespace {

using namespace std::chrono_literals;

using Moment = std::tuple<MessageType, int, uint64_t>;

std::string MomentName(const ::testing::TestParamInfo<Moment>& info) {
  const auto [type, nth, seed] = info.param;
  return "message" + std::to_string(static_cast<uint32_t>(type)) + "nr" + std::to_string(nth) +
         "seed" + std::to_string(seed);
}

// Every message of a device's life, the first and the second of its type: before the open, between GPADL header and
// body, while opening, while closing, before the release.
class RescindTest : public ::testing::TestWithParam<Moment> {
 protected:
  RescindTest() : world_({.seed = std::get<2>(GetParam()), .vp_count = 2}) {
    UseScriptPlan(&plan_);
    plan_.shares_bytes = 40 * 4096;
    victim_ = world_.Add(ScriptVspClass(), Instance(1));
    bystander_ = world_.Add(EchoVspClass(), Instance(2));
    world_.partition->on_post = [this, seen = 0](MessageType type) mutable {
      if (type == std::get<0>(GetParam()) && ++seen == std::get<1>(GetParam())) {
        world_.RemoveSoon(victim_);
        removed_ = true;
      }
      return true;
    };
  }

  ScriptPlan plan_;
  World world_;
  DeviceId victim_{};
  DeviceId bystander_{};
  bool removed_ = false;
};

TEST_P(RescindTest, LeavesNothingBehindAndHarmsNobody) {
  world_.Start();
  world_.Run(10s);
  if (removed_) {
    EXPECT_THAT(world_.State(Instance(1)), ::testing::AnyOf("gone", "(none)"));
    EXPECT_EQ(world_.State(Instance(2)), "running");
    EXPECT_GE(world_.HostNumber(bystander_, "answered"), 5u);
    // The number is free again: a device that comes now runs.
    world_.Add(ScriptVspClass(), Instance(3));
    world_.Run(5s);
    EXPECT_EQ(world_.State(Instance(3)), "running");
  }
  world_.Stop();
  EXPECT_TRUE(removed_) << "the guest never posted that message";
}

INSTANTIATE_TEST_SUITE_P(
    AtEveryMessage, RescindTest,
    ::testing::Combine(::testing::Values(MessageType::kRequestOffers, MessageType::kGpadlHeader,
                                         MessageType::kGpadlBody, MessageType::kOpenChannel,
                                         MessageType::kCloseChannel, MessageType::kGpadlTeardown),
                       ::testing::Values(1), ::testing::Range<uint64_t>(0, 6)),
    MomentName);
INSTANTIATE_TEST_SUITE_P(AtTheSecond, RescindTest,
                         ::testing::Combine(::testing::Values(MessageType::kGpadlHeader,
                                                              MessageType::kGpadlBody,
                                                              MessageType::kGpadlTeardown),
                                            ::testing::Values(2), ::testing::Range<uint64_t>(0, 4)),
                         MomentName);

class RescindStory : public ::testing::TestWithParam<uint64_t> {};

TEST_P(RescindStory, WhileARequestIsInFlightEndsTheRequest) {
  ScriptPlan plan{.call_in_start = true, .call_deadline = 1h, .host_answers = false};
  UseScriptPlan(&plan);
  World world({.seed = GetParam()});
  const DeviceId id = world.Add(ScriptVspClass(), Instance(1));
  world.Start();
  world.Run(5s);
  EXPECT_EQ(world.State(Instance(1)), "starting");
  world.Remove(id);
  world.Run(1s);
  EXPECT_EQ(world.State(Instance(1)), "gone");
  EXPECT_FALSE(plan.call_result.ok());
  EXPECT_THAT(std::string(plan.call_result.message()),
              ::testing::HasSubstr("the host took the device back"));
  EXPECT_THAT(plan.journal, ::testing::ElementsAre("stop rescinded", "destroyed"));
}

TEST_P(RescindStory, OfAPrimaryTakesItsSubchannelsAlong) {
  ScriptPlan plan{.wants_subchannels = 3};
  UseScriptPlan(&plan);
  World world({.seed = GetParam(), .vp_count = 2});
  const DeviceId id = world.Add(ScriptVspClass(), Instance(1));
  world.Start();
  world.Settle();
  EXPECT_EQ(world.Info(Instance(1)).channel_count, 4u);
  world.Remove(id);
  world.Run(1s);
  EXPECT_EQ(world.State(Instance(1)), "gone");
  EXPECT_EQ(world.transport->open_channels(), 0u);
}

TEST_P(RescindStory, OfEverythingAtOnceLeavesAnIdleGuest) {
  ScriptPlan plan{.guest_sends = 1000, .host_sends = 1000};
  UseScriptPlan(&plan);
  World world({.seed = GetParam(), .vp_count = 2});
  std::vector<DeviceId> ids;
  for (uint32_t i = 0; i < 30; ++i) {
    ids.push_back(world.Add(i % 2 == 0 ? ScriptVspClass() : EchoVspClass(), Instance(i)));
  }
  world.Start();
  for (DeviceId id : ids) world.RemoveSoon(id);  // the probes are under way
  world.Run(5s);
  EXPECT_EQ(world.bus->device_count(), 0u);
  EXPECT_EQ(world.transport->open_channels(), 0u);
  EXPECT_EQ(world.transport->client().channel_count(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RescindStory, ::testing::Range<uint64_t>(0, 6));

}  // namespace
}  // namespace vmbuskit
