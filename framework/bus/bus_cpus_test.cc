// CPUs: where channels go, moving them, taking a CPU offline; and many devices at once.
#include "framework/bus/bus_testing.h"

namespace vmbuskit {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

class BusCpusTest : public BusTest {
 protected:
  absl::Status Offline(uint32_t cpu) {
    return OnBus([cpu](Bus& bus) { return bus.SetCpuOffline(cpu); });
  }
};
INSTANTIATE_TEST_SUITE_P(Seeds, BusCpusTest, testing::Values(0, 3));

TEST_P(BusCpusTest, FastDevicesSpreadAndSlowOnesStayOnCpu0) {
  Start();
  Offer(5, kDisk1);
  Run();
  Offer(6, kBeat1, 0, kBeatClass);
  Run();
  Offer(7, kDisk2);
  Run();
  Offer(8, kDisk3);
  Run();
  EXPECT_THAT(Info(kDisk1).cpus, ElementsAre(0));
  EXPECT_THAT(Info(kBeat1).cpus, ElementsAre(0));
  EXPECT_THAT(Info(kDisk2).cpus, ElementsAre(1));
  EXPECT_THAT(Info(kDisk3).cpus, ElementsAre(2));
  EXPECT_EQ(device(kDisk3).channel->executor().cpu(), 2u);
}

TEST_P(BusCpusTest, RetargetMovesTheInterrupts) {
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(Await(bus().Retarget(kDisk1, 0, 3)), absl::OkStatus());
  EXPECT_EQ(transport().vp(5), 3u);
  EXPECT_THAT(Info(kDisk1).cpus, ElementsAre(3));
}

TEST_P(BusCpusTest, RetargetSaysWhatIsWrong) {
  Plan(kDisk2).start_fails = true;
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk2);
  Run();
  EXPECT_EQ(Await(bus().Retarget(kDisk3, 0, 1)).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Await(bus().Retarget(kDisk1, 4, 1)).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Await(bus().Retarget(kDisk2, 0, 1)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Await(bus().Retarget(kDisk1, 0, 4)),
            absl::InvalidArgumentError("there is no CPU 4, the last one is 3"));
  transport().Script(FakeOperation::kRetarget, FakeAnswer::kFail);
  EXPECT_EQ(Await(bus().Retarget(kDisk1, 0, 1)).code(), absl::StatusCode::kInternal);
  EXPECT_THAT(Info(kDisk1).cpus, ElementsAre(0));
}

TEST_P(BusCpusTest, OldHostsCannotRetarget) {
  Make({}, {.version = 0x00040000});
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(Await(bus().Retarget(kDisk1, 0, 1)).code(), absl::StatusCode::kUnimplemented);
}

TEST_P(BusCpusTest, RescindEndsARetarget) {
  Start();
  Offer(5, kDisk1);
  Run();
  transport().Script(FakeOperation::kRetarget, FakeAnswer::kRescind);
  EXPECT_EQ(Await(bus().Retarget(kDisk1, 0, 1)).code(), absl::StatusCode::kUnavailable);
  Run();
  EXPECT_EQ(transport().relids_held(), 0u);
}

TEST_P(BusCpusTest, Cpu0AndCpusWithChannelsStayOnline) {
  Start();
  Offer(5, kDisk1);
  Run();
  Offer(6, kDisk2);
  Run();
  EXPECT_EQ(Offline(0).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Offline(1), absl::FailedPreconditionError(
                            absl::StrCat("CPU 1 cannot go offline, channels are bound to it: disk ",
                                         kDisk2.ToString(), " channel 0")));
  EXPECT_EQ(Offline(4).code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(BusCpusTest, AfterMovingItsChannelsAwayACpuGoesOfflineAndComesBack) {
  Start();
  Offer(5, kDisk1);
  Run();
  Offer(6, kDisk2);
  Run();
  EXPECT_EQ(Await(bus().MoveChannelsAway(1)), absl::OkStatus());
  EXPECT_NE(transport().vp(6), 1u);
  EXPECT_EQ(Offline(1), absl::OkStatus());
  EXPECT_EQ(Await(bus().Retarget(kDisk2, 0, 1)).message(), "CPU 1 is offline");
  for (uint32_t relid = 10; relid < 18; ++relid) {
    Guid instance = kDisk3;
    instance.bytes[0] = static_cast<uint8_t>(relid);
    Offer(relid, instance);
  }
  Run();
  for (uint32_t relid = 10; relid < 18; ++relid) EXPECT_NE(transport().vp(relid), 1u);
  EXPECT_EQ(OnBus([](Bus& bus) { return bus.SetCpuOnline(1); }), absl::OkStatus());
  EXPECT_EQ(Await(bus().Retarget(kDisk2, 0, 1)), absl::OkStatus());
}

TEST_P(BusCpusTest, MovingAwayNeedsAnotherCpu) {
  Make({}, {.vp_count = 1});
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(Await(bus().MoveChannelsAway(0)).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(BusCpusTest, AThousandDevicesComeAndGo) {
  constexpr uint32_t kDevices = 1000;
  Start();
  for (uint32_t i = 0; i < kDevices; ++i) {
    Guid instance = kDisk1;
    instance.bytes[0] = static_cast<uint8_t>(i);
    instance.bytes[1] = static_cast<uint8_t>(i >> 8);
    Offer(1 + i, instance, 0, i % 2 == 0 ? kDiskClass : kBeatClass);
  }
  transport().AllOffersDelivered();
  ASSERT_EQ(Await(bus().WaitUntilSettled(seconds(60))), absl::OkStatus());
  const std::vector<DeviceInfo> infos = Describe();
  ASSERT_EQ(infos.size(), kDevices);
  for (const DeviceInfo& info : infos) ASSERT_EQ(info.state, DeviceState::kRunning);
  EXPECT_EQ(transport().open_channels(), kDevices);

  for (uint32_t i = 0; i < kDevices; ++i) transport().Rescind(1 + i);
  Run(seconds(10));
  EXPECT_EQ(bus().device_count(), 0u);
  EXPECT_EQ(transport().relids_held(), 0u);
  EXPECT_EQ(transport().pages().allocated(), 0u);
  EXPECT_EQ(journal().made, kDevices);
  EXPECT_TRUE(journal().alive.empty());
  EXPECT_EQ(Describe().size(), 16u);  // the last to go are remembered
}

}  // namespace
}  // namespace vmbuskit
