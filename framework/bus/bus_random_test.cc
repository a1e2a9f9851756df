// Anything in any order: a host that offers, rescinds, refuses and falls silent at random, under a driver that
// does different things each time. Whatever happens, nothing is lost and no rule is broken (see ~BusTest).
#include <map>
#include <set>

#include "framework/bus/bus_testing.h"
#include "platform/random.h"

namespace vmbuskit {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr uint32_t kSteps = 150;
constexpr uint32_t kInstances = 4;

class BusRandomTest : public BusTest {
 protected:
  static Guid Instance(uint64_t number) {
    Guid instance = kDisk1;
    instance.bytes[0] = static_cast<uint8_t>(number);
    return instance;
  }

  void Step() {
    switch (random_.Below(9)) {
      case 0:
      case 1:
        OfferDevice();
        break;
      case 2:
        OfferSubchannel();
        break;
      case 3:
      case 4:
        RescindSomething();
        break;
      case 5:
        transport().Script(static_cast<FakeOperation>(1 + random_.Below(5)),
                           static_cast<FakeAnswer>(random_.Below(6)));
        break;
      case 6: {
        const Guid instance = Instance(random_.Below(kInstances));
        (void)OnBus([&](Bus& bus) { return bus.RestartDevice(instance); });
        break;
      }
      case 7: {
        const Guid instance = Instance(random_.Below(kInstances));
        const auto cpu = static_cast<uint32_t>(random_.Below(4));
        (void)Await(bus().Retarget(instance, static_cast<uint16_t>(random_.Below(3)), cpu));
        break;
      }
      case 8:
        watchers_.Spawn(Watch());  // beside whatever comes next
        break;
    }
    Run(milliseconds(random_.Below(2) == 0 ? 0 : random_.Below(5000)));
  }

  Task<void> Watch() {
    InspectNode node;
    co_await bus().Inspect(node);
  }

  void OfferDevice() {
    const Guid instance = Instance(random_.Below(kInstances));
    DevicePlan& plan = Plan(instance);
    plan = {};
    plan.start_fails = random_.Below(8) == 0;
    plan.start_calls = random_.Below(6) == 0;
    plan.stop_calls = random_.Below(6) == 0;
    plan.closes_itself = random_.Below(2) == 0;
    plan.stop_sleeps = seconds(random_.Below(3));
    plan.wants_subchannels = static_cast<uint32_t>(random_.Below(3));
    plan.shares_bytes = static_cast<uint32_t>(random_.Below(3) * 5000);
    const uint32_t relid = next_relid_++;
    // A fair host offers an instance again only after it took it back.
    if (offered_.contains(instance)) return;
    offered_[instance] = {relid};
    Offer(relid, instance);
  }

  void OfferSubchannel() {
    const Guid instance = Instance(random_.Below(kInstances));
    const auto found = offered_.find(instance);
    if (found == offered_.end()) return;
    const auto index = static_cast<uint16_t>(found->second.size());
    found->second.push_back(next_relid_);
    Offer(next_relid_++, instance, index);
  }

  // The whole device, sub-channels first or last, or its last sub-channel alone.
  void RescindSomething() {
    const auto found = offered_.find(Instance(random_.Below(kInstances)));
    if (found == offered_.end()) return;
    std::vector<uint32_t>& relids = found->second;
    if (relids.size() > 1 && random_.Below(2) == 0) {
      transport().Rescind(relids.back());
      relids.pop_back();
      return;
    }
    if (random_.Below(2) == 0) std::reverse(relids.begin(), relids.end());
    for (const uint32_t relid : relids) transport().Rescind(relid);
    offered_.erase(found);
  }

  Random random_{GetParam()};
  std::map<Guid, std::vector<uint32_t>> offered_;
  uint32_t next_relid_ = 1;
  TaskGroup watchers_{bus_executor(), "watchers"};
};
INSTANTIATE_TEST_SUITE_P(Seeds, BusRandomTest, testing::Range<uint64_t>(1, 41));

TEST_P(BusRandomTest, NothingIsLost) {
  Start();
  for (uint32_t step = 0; step < kSteps; ++step) Step();
  while (!offered_.empty()) RescindSomething();
  // Everything comes to its end: waits for a silent host one after the other, each with its deadline.
  Run(minutes(30));
  EXPECT_EQ(bus().device_count(), 0u);
  EXPECT_EQ(transport().relids_held(), 0u);
  EXPECT_TRUE(journal().alive.empty());
  EXPECT_EQ(transport().pages().allocated(), 0u);
}

TEST_P(BusRandomTest, StopInTheMiddleOfEverything) {
  Start();
  for (uint32_t step = 0; step < kSteps / 3; ++step) Step();
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_EQ(bus().device_count(), 0u);
}

TEST_P(BusRandomTest, TheConnectionIsLostInTheMiddleOfEverything) {
  Start();
  for (uint32_t step = 0; step < kSteps / 3; ++step) Step();
  transport().LoseConnection(absl::DataLossError("nonsense"));
  Run(minutes(30));
  EXPECT_EQ(bus().device_count(), 0u);
  EXPECT_EQ(transport().relids_held(), 0u);
}

}  // namespace
}  // namespace vmbuskit
