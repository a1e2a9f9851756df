// Being taken back, in every state, and coming again.
#include "framework/bus/bus_testing.h"

namespace vmbuskit {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

class BusRescindTest : public BusTest {
 protected:
  // Nothing of the one device is left, and the release was the last word.
  void ExpectGone() {
    EXPECT_EQ(bus().device_count(), 0u);
    EXPECT_EQ(transport().relids_held(), 0u);
    EXPECT_EQ(transport().log().back(), "release 5");
    EXPECT_EQ(Info(kDisk1).state, DeviceState::kGone);
    EXPECT_EQ(Info(kDisk1).status, "rescinded");
    EXPECT_TRUE(journal().alive.empty());
  }
};
INSTANTIATE_TEST_SUITE_P(Seeds, BusRescindTest, testing::Range<uint64_t>(0, 12));

TEST_P(BusRescindTest, BeforeAnythingHappened) {
  Start();
  Offer(5, kDisk1);
  transport().Rescind(5);
  Run();
  ExpectGone();
}

TEST_P(BusRescindTest, WhileOpening) {
  transport().Script(FakeOperation::kOpen, FakeAnswer::kRescind);
  Start();
  Offer(5, kDisk1);
  Run();
  ExpectGone();
  EXPECT_THAT(transport().log(), ElementsAre("connect", "open 5", "release 5"));
  EXPECT_THAT(journal().lines,
              ElementsAre("d1 start", "d1 prepare_stop rescinded", "d1 stop", "d1 destroyed"));
}

TEST_P(BusRescindTest, RightBehindTheAnswerToOpen) {
  transport().Script(FakeOperation::kOpen, FakeAnswer::kSucceedThenRescind);
  Plan(kDisk1).start_calls = true;
  Start();
  Offer(5, kDisk1);
  Run();
  ExpectGone();
  EXPECT_THAT(transport().log(), ElementsAre("connect", "open 5", "close 5", "release 5"));
}

TEST_P(BusRescindTest, WithTheAnswerToOpenUnderWay) {
  transport().Script(FakeOperation::kOpen, FakeAnswer::kRescindThenSucceed);
  Start();
  Offer(5, kDisk1);
  Run();
  ExpectGone();
  EXPECT_THAT(transport().log(), ElementsAre("connect", "open 5", "close 5", "release 5"));
}

TEST_P(BusRescindTest, WhileNegotiating) {
  Plan(kDisk1).start_calls = true;
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(State(kDisk1), "starting");
  transport().Rescind(5);
  Run();
  ExpectGone();
}

TEST_P(BusRescindTest, WhileSharingABuffer) {
  Plan(kDisk1).shares_bytes = 4096;
  transport().Script(FakeOperation::kCreateGpadl, FakeAnswer::kRescind);
  Start();
  Offer(5, kDisk1);
  Run();
  ExpectGone();
  EXPECT_EQ(transport().pages().leaked(), 0u);
}

TEST_P(BusRescindTest, WhileRunning) {
  Plan(kDisk1).shares_bytes = 4096;
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(State(kDisk1), "running");
  transport().Rescind(5);
  Run();
  ExpectGone();
  EXPECT_THAT(journal().lines,
              ElementsAre("d1 start", "d1 prepare_stop rescinded", "d1 stop", "d1 destroyed"));
}

TEST_P(BusRescindTest, WhileStoppingEndsWhatTheDriverWaitsFor) {
  Plan(kDisk1).stop_calls = true;
  Start();
  Offer(5, kDisk1);
  Run();
  device(kDisk1).Fail(absl::InternalError("broken"));
  Run();
  EXPECT_EQ(State(kDisk1), "stopping");
  transport().Rescind(5);
  Run();
  ExpectGone();
}

TEST_P(BusRescindTest, WhileClosing) {
  transport().Script(FakeOperation::kClose, FakeAnswer::kRescind);
  Start();
  Offer(5, kDisk1);
  Run();
  device(kDisk1).Fail(absl::InternalError("broken"));
  Run();
  ExpectGone();
}

TEST_P(BusRescindTest, WhileFailed) {
  Plan(kDisk1).start_fails = true;
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(State(kDisk1), "failed");
  transport().Rescind(5);
  Run();
  ExpectGone();
}

TEST_P(BusRescindTest, WhileTheBusShutsDown) {
  Plan(kDisk1).stop_sleeps = seconds(5);
  Start();
  Offer(5, kDisk1);
  Run();
  transport().Rescind(5);
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_EQ(bus().device_count(), 0u);
}

TEST_P(BusRescindTest, TwiceOrOfNobodyChangesNothing) {
  Start();
  Offer(5, kDisk1);
  Run();
  transport().Rescind(77);
  Run();
  EXPECT_EQ(State(kDisk1), "running");
  transport().Rescind(5);
  transport().Rescind(5);
  Run();
  ExpectGone();
}

TEST_P(BusRescindTest, OneDeviceGoesTheOthersStay) {
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk2);
  Run();
  transport().Rescind(5);
  Run();
  EXPECT_EQ(State(kDisk1), "gone");
  EXPECT_EQ(State(kDisk2), "running");
}

TEST_P(BusRescindTest, OfferedAgainAtOnceIsANewDeviceThatWaitsForTheOldOne) {
  Plan(kDisk1).stop_sleeps = seconds(5);
  Start();
  Offer(5, kDisk1);
  Run();
  transport().Rescind(5);
  Offer(8, kDisk1);
  Run();
  EXPECT_EQ(journal().made, 1u);
  EXPECT_EQ(bus().device_count(), 2u);
  EXPECT_EQ(Info(kDisk1).relid, 8u);
  EXPECT_EQ(Info(kDisk1).state, DeviceState::kOffered);
  EXPECT_EQ(Info(kDisk1).status, "waits for the device that had this instance before");
  Run(seconds(5));
  EXPECT_EQ(State(kDisk1), "running");
  EXPECT_THAT(journal().lines, ElementsAre("d1 start", "d1 prepare_stop rescinded", "d1 stop",
                                           "d1 destroyed", "d1 start"));
  EXPECT_EQ(bus().device_count(), 1u);
}

TEST_P(BusRescindTest, AThirdOfferWaitsForTheFirstWhenTheSecondWent) {
  Plan(kDisk1).stop_sleeps = seconds(5);
  Start();
  Offer(5, kDisk1);
  Run();
  transport().Rescind(5);
  Offer(8, kDisk1);
  transport().Rescind(8);
  Offer(9, kDisk1);
  Run();
  EXPECT_EQ(transport().log().back(), "release 8");  // without waiting
  EXPECT_EQ(journal().made, 1u);
  EXPECT_EQ(bus().device_count(), 2u);
  Run(seconds(5));
  EXPECT_EQ(journal().made, 2u);
  EXPECT_EQ(Info(kDisk1).relid, 9u);
  EXPECT_EQ(State(kDisk1), "running");
}

TEST_P(BusRescindTest, AnInstanceOfferedAgainWithoutRescindIsRefused) {
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk1);
  Offer(5, kDisk2);
  Run();
  EXPECT_EQ(bus().device_count(), 1u);
  EXPECT_EQ(bus().offers_refused(), 2u);
  EXPECT_EQ(State(kDisk1), "running");
  InspectNode node;
  ASSERT_TRUE(RunTask(sim_, bus_executor(), bus().Inspect(node)));
  EXPECT_THAT(node.ToJson(), HasSubstr("relid is 5: is in use"));
  // Taken back, the refused one is given back; the running device has nothing to do with it.
  transport().Rescind(6);
  Run();
  EXPECT_EQ(transport().log().back(), "release 6");
  EXPECT_EQ(State(kDisk1), "running");
}

TEST_P(BusRescindTest, MoreDevicesThanAllowedAreRefusedAndReported) {
  Make({.devices_max = 2});
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk2);
  Offer(7, kDisk3);
  Run();
  EXPECT_EQ(bus().device_count(), 2u);
  EXPECT_EQ(bus().offers_refused(), 1u);
  InspectNode node;
  ASSERT_TRUE(RunTask(sim_, bus_executor(), bus().Inspect(node)));
  EXPECT_THAT(node.ToJson(), HasSubstr("devices_max is 2 and that many are there"));
  transport().Rescind(7);
  transport().Rescind(5);
  Run();
  EXPECT_EQ(transport().relids_held(), 1u);
  Offer(8, kDisk3);
  Run();
  EXPECT_EQ(State(kDisk3), "running");
}

TEST_P(BusRescindTest, ALostConnectionTakesEverythingBack) {
  Plan(kDisk2).start_calls = true;
  Plan(kDisk3).wants_subchannels = 1;
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk2);
  Offer(7, kDisk3);
  Offer(8, kDisk3, 1);
  Offer(9, kBeat1, 1, kBeatClass);  // its device never comes
  Run();
  transport().LoseConnection(absl::DataLossError("message type is 99"));
  Run();
  EXPECT_EQ(bus().device_count(), 0u);
  EXPECT_EQ(transport().relids_held(), 0u);
  EXPECT_EQ(Await(bus().WaitUntilSettled(seconds(1))), absl::DataLossError("message type is 99"));
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(State(kDisk1), "running");
}

// Faults at every operation of a device's life, one after the other: whatever happens, nothing is
// lost.
TEST_P(BusRescindTest, AtEveryOperationOfALife) {
  for (const FakeOperation operation : {FakeOperation::kOpen, FakeOperation::kCreateGpadl,
                                        FakeOperation::kClose, FakeOperation::kTearDownGpadl}) {
    for (const FakeAnswer answer :
         {FakeAnswer::kFail, FakeAnswer::kNever, FakeAnswer::kRescind,
          FakeAnswer::kSucceedThenRescind, FakeAnswer::kRescindThenSucceed}) {
      DeviceJournal empty;
      std::swap(journal(), empty);
      Plan(kDisk1).shares_bytes = 8192;
      if (!bus().connected()) Start();
      transport().Script(operation, answer, 5);
      Offer(5, kDisk1);
      Run(minutes(2));
      if (bus().device_count() != 0) {
        const std::string state = State(kDisk1);
        EXPECT_TRUE(state == "running" || state == "failed") << state;
        transport().Rescind(5);
        Run(minutes(2));
      }
      ExpectGone();
      EXPECT_EQ(transport().open_channels(), 0u);
    }
  }
}

}  // namespace
}  // namespace vmbuskit
