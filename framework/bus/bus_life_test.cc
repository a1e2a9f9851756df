// The life of one device, from the offer to the last word about its relid.
#include "framework/bus/bus_testing.h"

namespace vmbuskit {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class BusLifeTest : public BusTest {};
INSTANTIATE_TEST_SUITE_P(Seeds, BusLifeTest, testing::Range<uint64_t>(0, 6));

TEST_P(BusLifeTest, FromOfferToShutdown) {
  Start();
  Offer(5, kDisk1);
  Run();
  const DeviceInfo info = Info(kDisk1);
  EXPECT_EQ(info.class_name, "disk");
  EXPECT_EQ(info.class_id, kDiskClass);
  EXPECT_EQ(info.relid, 5u);
  EXPECT_EQ(info.state, DeviceState::kRunning);
  EXPECT_EQ(info.versions, "7.1");
  EXPECT_EQ(info.channel_count, 1u);
  EXPECT_THAT(info.cpus, ElementsAre(0));

  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_THAT(journal().lines,
              ElementsAre("d1 start", "d1 prepare_stop shutdown", "d1 stop", "d1 destroyed"));
  EXPECT_THAT(transport().log(), ElementsAre("connect", "open 5", "close 5", "disconnect"));
  EXPECT_EQ(Info(kDisk1).state, DeviceState::kGone);
  EXPECT_EQ(Info(kDisk1).status, "shut down");
}

TEST_P(BusLifeTest, AnOfferWithoutDriverIsShownAndGivenBack) {
  Start();
  Offer(9, kDisk1, 0, kUnknownClass);
  Run();
  EXPECT_EQ(State(kDisk1), "offered");
  EXPECT_EQ(Info(kDisk1).status, "no driver");
  EXPECT_EQ(Info(kDisk1).class_name, "");
  transport().Rescind(9);
  Run();
  EXPECT_THAT(transport().log(), ElementsAre("connect", "release 9"));
  EXPECT_EQ(bus().device_count(), 0u);
}

TEST_P(BusLifeTest, AClassThatComesLaterTakesWhatWaits) {
  static constexpr DeviceClass kLate{
      .name = "late", .class_ids = {&kUnknownClass, 1}, .create = &BusLifeTest::Create};
  static constexpr const DeviceClass* kLateClasses[] = {&kLate};
  Start();
  Offer(9, kDisk1, 0, kUnknownClass);
  Run();
  EXPECT_EQ(OnBus([](Bus& bus) { return bus.RegisterClasses(kLateClasses); }), absl::OkStatus());
  Run();
  EXPECT_EQ(State(kDisk1), "running");
  EXPECT_EQ(device(kDisk1).channel->name(), absl::StrCat("late ", kDisk1.ToString(), " channel 9"));
}

TEST_P(BusLifeTest, AFailedStartKeepsTheRelidAndCanBeTriedAgain) {
  Plan(kDisk1).start_fails = true;
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(State(kDisk1), "failed");
  EXPECT_EQ(Info(kDisk1).status, "no version in common");
  EXPECT_THAT(journal().lines,
              ElementsAre("d1 start", "d1 prepare_stop failed", "d1 stop", "d1 destroyed"));
  EXPECT_EQ(transport().relids_held(), 1u);
  EXPECT_EQ(transport().open_channels(), 0u);

  Plan(kDisk1).start_fails = false;
  EXPECT_EQ(OnBus([](Bus& bus) { return bus.RestartDevice(kDisk1); }), absl::OkStatus());
  Run();
  EXPECT_EQ(State(kDisk1), "running");
  EXPECT_EQ(Info(kDisk1).status, "");
  EXPECT_EQ(Released(), 0u);
}

TEST_P(BusLifeTest, ARunningDeviceRestarts) {
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(OnBus([](Bus& bus) { return bus.RestartDevice(kDisk1); }), absl::OkStatus());
  Run();
  EXPECT_EQ(State(kDisk1), "running");
  EXPECT_EQ(journal().made, 2u);
  EXPECT_EQ(OnBus([](Bus& bus) { return bus.RestartDevice(kDisk2); }).code(),
            absl::StatusCode::kNotFound);
}

TEST_P(BusLifeTest, ARefusedOpenFailsThatDeviceOnly) {
  transport().Script(FakeOperation::kOpen, FakeAnswer::kFail, 5);
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk2);
  Run();
  EXPECT_EQ(State(kDisk1), "failed");
  EXPECT_EQ(Info(kDisk1).status, "open 5: the host refuses");
  EXPECT_EQ(State(kDisk2), "running");
}

TEST_P(BusLifeTest, AFailureAtRunTimeTakesTheDeviceDown) {
  Start();
  Offer(5, kDisk1);
  Run();
  device(kDisk1).Fail(absl::DataLossError("the host lies"));
  device(kDisk1).Fail(absl::DataLossError("and again"));
  Run();
  EXPECT_EQ(State(kDisk1), "failed");
  EXPECT_EQ(Info(kDisk1).status, "the host lies");
  EXPECT_THAT(journal().lines,
              ElementsAre("d1 start", "d1 prepare_stop failed", "d1 stop", "d1 destroyed"));
}

TEST_P(BusLifeTest, OneHangingStartHarmsNobodyAndEndsAtItsDeadline) {
  Make({.start_deadline = minutes(3)});
  Plan(kDisk1).start_calls = true;
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk2);
  Offer(7, kBeat1, 0, kBeatClass);
  transport().AllOffersDelivered();
  Run();
  EXPECT_EQ(State(kDisk1), "starting");
  EXPECT_EQ(State(kDisk2), "running");
  EXPECT_EQ(State(kBeat1), "running");
  const absl::Status unsettled = Await(bus().WaitUntilSettled(seconds(10)));
  EXPECT_EQ(unsettled.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(unsettled.message()), HasSubstr(kDisk1.ToString()));

  EXPECT_EQ(Await(bus().WaitUntilSettled(minutes(4))), absl::OkStatus());
  Run();
  EXPECT_EQ(State(kDisk1), "failed");
  EXPECT_EQ(Info(kDisk1).status,
            absl::StrCat("disk ", kDisk1.ToString(), ": Start did not end within 180 s"));
  EXPECT_EQ(State(kDisk2), "running");
}

TEST_P(BusLifeTest, AHostThatNeverAnswersAnOpenCostsOneDeadline) {
  transport().Script(FakeOperation::kOpen, FakeAnswer::kNever, 5);
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk2);
  Run();
  EXPECT_EQ(State(kDisk1), "starting");
  EXPECT_EQ(State(kDisk2), "running");
  Run(seconds(61));
  EXPECT_EQ(State(kDisk1), "failed");
}

TEST_P(BusLifeTest, ShutdownWhileAProbeRunsEndsIt) {
  Plan(kDisk1).start_calls = true;
  Start();
  Offer(5, kDisk1);
  Run();
  const Instant before = sim_.Now();
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_LT(sim_.Now() - before, seconds(1));
  EXPECT_THAT(journal().lines,
              ElementsAre("d1 start", "d1 prepare_stop shutdown", "d1 stop", "d1 destroyed"));
}

TEST_P(BusLifeTest, ShutdownWhileAnOpenIsUnderWay) {
  transport().Script(FakeOperation::kOpen, FakeAnswer::kNever, 5);
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());  // after the open's deadline
  EXPECT_THAT(transport().log(), ElementsAre("connect", "open 5", "disconnect"));
}

TEST_P(BusLifeTest, DevicesStopAtTheSameTime) {
  for (const Guid& instance : {kDisk1, kDisk2, kDisk3}) Plan(instance).stop_sleeps = seconds(20);
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk2);
  Offer(7, kDisk3);
  Run();
  const Instant before = sim_.Now();
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_LT(sim_.Now() - before, seconds(21));
}

TEST_P(BusLifeTest, APrepareStopThatWaitsForTheHostIsCutOffAtItsDeadline) {
  Make({.stop_deadline = seconds(10)});
  Plan(kDisk1).stop_calls = true;
  Start();
  Offer(5, kDisk1);
  Run();
  const Instant before = sim_.Now();
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_GE(sim_.Now() - before, seconds(10));
  EXPECT_LT(sim_.Now() - before, seconds(11));
}

TEST_P(BusLifeTest, ADriverThatDoesNotEndIsNamedAndKeepsTheConnection) {
  Make({.stop_deadline = seconds(10), .shutdown_deadline = seconds(30)});
  Plan(kDisk1).stop_sleeps = minutes(5);
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk2);
  Run();
  const absl::Status late = Await(bus().Stop());
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(late.message()), HasSubstr(kDisk1.ToString()));
  EXPECT_THAT(std::string(late.message()), testing::Not(HasSubstr(kDisk2.ToString())));
  EXPECT_EQ(transport().log().back(), "close 6");
  Run(minutes(5));
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_EQ(transport().log().back(), "disconnect");
}

TEST_P(BusLifeTest, SharedPagesComeBackWithTheChannel) {
  Plan(kDisk1).shares_bytes = 10000;
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(device(kDisk1).buffer.bytes.size(), 10000u);
  EXPECT_EQ(device(kDisk1).buffer.gpadl.page_count, 3u);
  EXPECT_EQ(transport().gpadls(), 1u);
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_THAT(transport().log(),
              ElementsAre("connect", "open 5", "gpadl 5", "close 5", "tear down 5", "disconnect"));
}

TEST_P(BusLifeTest, OldHostsGetTheirPagesTornDownBeforeTheClose) {
  Make({}, {.version = 0x00030000});
  Plan(kDisk1).shares_bytes = 4096;
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_THAT(transport().log(),
              ElementsAre("connect", "open 5", "gpadl 5", "tear down 5", "close 5", "disconnect"));
}

TEST_P(BusLifeTest, ADriverMayCloseItsChannelsItself) {
  Plan(kDisk1).closes_itself = true;
  Plan(kDisk1).shares_bytes = 4096;
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_THAT(transport().log(),
              ElementsAre("connect", "open 5", "gpadl 5", "close 5", "tear down 5", "disconnect"));
}

TEST_P(BusLifeTest, TheBusStartsAgainAfterStop) {
  Start();
  EXPECT_EQ(Await(bus().Start()).code(), absl::StatusCode::kFailedPrecondition);
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(State(kDisk1), "running");
  EXPECT_EQ(journal().made, 2u);
}

TEST_P(BusLifeTest, AFailedConnectLeavesTheBusStopped) {
  transport().Script(FakeOperation::kConnect, FakeAnswer::kNever);
  EXPECT_EQ(Await(bus().Start()).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(bus().connected());
  Start();
  EXPECT_TRUE(bus().connected());
}

TEST_P(BusLifeTest, ObserversSeeRunningDevicesOnTheirExecutor) {
  struct Observer final : DeviceObserver {
    void OnDeviceRunning(const RunningDevice& device) override {
      EXPECT_TRUE(device.executor.IsCurrent());
      lines.push_back(absl::StrCat("running ", device.offer.relid));
    }
    void OnDeviceStopping(const RunningDevice& device) override {
      EXPECT_TRUE(device.executor.IsCurrent());
      lines.push_back(absl::StrCat("stopping ", device.offer.relid));
    }
    std::vector<std::string> lines;
  } observer;
  Make({.observer = &observer});
  Plan(kDisk2).start_fails = true;
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk2);
  Run();
  EXPECT_THAT(observer.lines, ElementsAre("running 5"));
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_THAT(observer.lines, ElementsAre("running 5", "stopping 5"));
}

}  // namespace
}  // namespace vmbuskit
