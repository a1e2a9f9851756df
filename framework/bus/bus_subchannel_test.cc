// Sub-channels: offered before or after, opened, taken back before or after their primary.
#include <set>

#include "framework/bus/bus_testing.h"

namespace vmbuskit {
namespace {

using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;

class BusSubchannelTest : public BusTest {
 protected:
  // A running disk with two sub-channels.
  void StartWithTwo() {
    Plan(kDisk1).wants_subchannels = 2;
    Start();
    Offer(5, kDisk1);
    Offer(6, kDisk1, 1);
    Offer(7, kDisk1, 2);
    Run();
    ASSERT_EQ(State(kDisk1), "running");
    ASSERT_EQ(device(kDisk1).subchannels.size(), 2u);
  }
};

Task<void> Ignore(Task<absl::Status> task) { (void)co_await std::move(task); }

INSTANTIATE_TEST_SUITE_P(Seeds, BusSubchannelTest, testing::Range<uint64_t>(0, 12));

TEST_P(BusSubchannelTest, OpenOnOtherCpusAndCloseBeforeTheirPrimary) {
  StartWithTwo();
  const DeviceInfo info = Info(kDisk1);
  EXPECT_EQ(info.channel_count, 3u);
  EXPECT_EQ(info.subchannels_offered, 2u);
  EXPECT_EQ(std::set<uint32_t>(info.cpus.begin(), info.cpus.end()).size(), 3u);
  for (const auto& [index, channel] : device(kDisk1).subchannels) {
    EXPECT_EQ(channel->executor().cpu(), info.cpus[index]);
  }
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
  EXPECT_THAT(transport().log(), ElementsAre("connect", "open 5", "open 6", "open 7", "close 7",
                                             "close 6", "close 5", "disconnect"));
}

TEST_P(BusSubchannelTest, OfferedBeforeTheirDevice) {
  Plan(kDisk1).wants_subchannels = 2;
  Start();
  Offer(7, kDisk1, 2);
  Offer(6, kDisk1, 1);
  Run();
  EXPECT_EQ(bus().device_count(), 0u);
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(device(kDisk1).subchannels.size(), 2u);
}

TEST_P(BusSubchannelTest, TakenBackBeforeTheirDeviceCame) {
  Start();
  Offer(6, kDisk1, 1);
  transport().Rescind(6);
  Run();
  EXPECT_THAT(transport().log(), ElementsAre("connect", "release 6"));
}

TEST_P(BusSubchannelTest, WaitingEndsAtOnceWhenAllAreThereAndInTimeWhenNot) {
  Plan(kDisk1).wants_subchannels = 2;
  Start();
  Offer(5, kDisk1);
  Run();
  EXPECT_EQ(State(kDisk1), "starting");
  Offer(6, kDisk1, 1);
  Offer(7, kDisk1, 2);
  Run();
  EXPECT_EQ(State(kDisk1), "running");

  Plan(kDisk2).wants_subchannels = 2;
  Offer(8, kDisk2);
  Offer(9, kDisk2, 1);
  Run(seconds(4));
  EXPECT_EQ(State(kDisk2), "starting");
  Run(seconds(2));
  EXPECT_EQ(State(kDisk2), "running");
  EXPECT_THAT(journal().lines, Contains("d2 1 subs"));
  EXPECT_THAT(journal().lines, Contains("d2 sub 2 NOT_FOUND"));
}

TEST_P(BusSubchannelTest, ComingLateIsToldToTheDriver) {
  Start();
  Offer(5, kDisk1);
  Run();
  Offer(6, kDisk1, 1);
  Run();
  EXPECT_THAT(journal().lines, ElementsAre("d1 start", "d1 sub 1 offered"));
}

TEST_P(BusSubchannelTest, TakenBackAloneLeavesTheDeviceRunning) {
  StartWithTwo();
  transport().Rescind(6);
  Run();
  EXPECT_EQ(State(kDisk1), "running");
  EXPECT_THAT(journal().lines, Contains("d1 sub 1 rescinded"));
  EXPECT_EQ(transport().log().back(), "release 6");
  EXPECT_EQ(Info(kDisk1).channel_count, 2u);
  // The same index again, with another relid.
  Offer(9, kDisk1, 1);
  Run();
  EXPECT_EQ(Info(kDisk1).subchannels_offered, 2u);
  EXPECT_EQ(bus().offers_refused(), 0u);
}

TEST_P(BusSubchannelTest, TakenBackWhileOpening) {
  Plan(kDisk1).wants_subchannels = 2;
  transport().Script(FakeOperation::kOpen, FakeAnswer::kRescind, 6);
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk1, 1);
  Offer(7, kDisk1, 2);
  Run();
  EXPECT_EQ(State(kDisk1), "running");
  EXPECT_THAT(journal().lines, Contains("d1 sub 1 UNAVAILABLE"));
  EXPECT_EQ(device(kDisk1).subchannels.size(), 1u);
  EXPECT_EQ(transport().relids_held(), 2u);
}

TEST_P(BusSubchannelTest, TakenBackRightBehindTheAnswerToOpen) {
  Plan(kDisk1).wants_subchannels = 2;
  transport().Script(FakeOperation::kOpen, FakeAnswer::kSucceedThenRescind, 6);
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk1, 1);
  Offer(7, kDisk1, 2);
  Run();
  EXPECT_EQ(State(kDisk1), "running");
  EXPECT_THAT(journal().lines, Contains("d1 sub 1 rescinded"));
  EXPECT_EQ(device(kDisk1).subchannels.size(), 1u);
  EXPECT_EQ(transport().relids_held(), 2u);
}

TEST_P(BusSubchannelTest, TakenBackWithTheAnswerToOpenUnderWay) {
  Plan(kDisk1).wants_subchannels = 2;
  transport().Script(FakeOperation::kOpen, FakeAnswer::kRescindThenSucceed, 6);
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk1, 1);
  Offer(7, kDisk1, 2);
  Run();
  EXPECT_EQ(State(kDisk1), "running");
  EXPECT_THAT(journal().lines, Contains("d1 sub 1 UNAVAILABLE"));
  EXPECT_EQ(device(kDisk1).subchannels.size(), 1u);
  EXPECT_EQ(transport().open_channels(), 2u);
  EXPECT_EQ(transport().relids_held(), 2u);
}

TEST_P(BusSubchannelTest, TakenBackBeforeTheirPrimary) {
  StartWithTwo();
  transport().Rescind(6);
  transport().Rescind(7);
  transport().Rescind(5);
  Run();
  EXPECT_EQ(bus().device_count(), 0u);
  EXPECT_EQ(transport().relids_held(), 0u);
}

TEST_P(BusSubchannelTest, TakenBackAfterTheirPrimary) {
  StartWithTwo();
  transport().Rescind(5);
  Run();
  EXPECT_EQ(bus().device_count(), 0u);
  EXPECT_EQ(transport().open_channels(), 0u);
  EXPECT_EQ(transport().relids_held(), 2u);  // live until the host takes them back
  transport().Rescind(7);
  transport().Rescind(6);
  Run();
  EXPECT_EQ(transport().relids_held(), 0u);
}

TEST_P(BusSubchannelTest, LeftOversAreNotTheNextDevices) {
  StartWithTwo();
  transport().Rescind(5);
  Offer(15, kDisk1);
  Run(seconds(10));
  EXPECT_EQ(State(kDisk1), "running");
  EXPECT_EQ(Info(kDisk1).subchannels_offered, 0u);
  transport().Rescind(6);
  transport().Rescind(7);
  Run();
  EXPECT_EQ(transport().relids_held(), 1u);
  EXPECT_EQ(State(kDisk1), "running");
}

TEST_P(BusSubchannelTest, WhatBreaksARuleIsRefused) {
  Start();
  Offer(5, kDisk1);
  Offer(6, kDisk1, 1);
  Offer(7, kDisk1, 1);              // index taken
  Offer(8, kDisk1, 2, kBeatClass);  // class of another device
  Run();
  EXPECT_EQ(bus().offers_refused(), 2u);
  EXPECT_EQ(Info(kDisk1).subchannels_offered, 1u);
  for (const uint32_t relid : {8, 7, 6, 5}) transport().Rescind(relid);
  Run();
  EXPECT_EQ(transport().relids_held(), 0u);
}

// The same run each time, whatever the addresses of this process.
TEST_P(BusSubchannelTest, WithoutADeviceGoBackInOrderWhenTheConnectionIsLost) {
  Start();
  for (const uint32_t relid : {14, 11, 17, 12, 18, 13, 16, 15}) {
    Offer(relid, kDisk1, static_cast<uint16_t>(relid));
  }
  Run();
  transport().LoseConnection(absl::DataLossError("message type is 99"));
  Run();
  EXPECT_THAT(transport().log(),
              ElementsAre("connect", "release 11", "release 12", "release 13", "release 14",
                          "release 15", "release 16", "release 17", "release 18"));
}

TEST_P(BusSubchannelTest, EarlyOnesAreLimited) {
  Make({.early_subchannels_max = 1});
  Start();
  Offer(6, kDisk1, 1);
  Offer(7, kDisk1, 2);
  Run();
  EXPECT_EQ(bus().offers_refused(), 1u);
  transport().Rescind(7);
  Run();
  EXPECT_EQ(transport().log().back(), "release 7");
}

TEST_P(BusSubchannelTest, OpeningWhatIsOpenOrNotThereIsAnError) {
  StartWithTwo();
  TestDevice& disk = device(kDisk1);
  ASSERT_EQ(Await(disk.OpenSubchannels()), absl::OkStatus());
  EXPECT_THAT(journal().lines, Contains("d1 sub 1 FAILED_PRECONDITION"));
  EXPECT_EQ(Info(kDisk1).channel_count, 3u);
}

// The bus has opened it, and before the driver hears of it, it closes its channels: it would be told of one that may be
// destroyed before it looks at it.
TEST_P(BusSubchannelTest, ClosedOnItsWayToTheDriver) {
  Plan(kDisk1).wants_subchannels = 1;
  Start();
  Offer(4, kDisk2);  // takes the bus's own CPU
  Offer(5, kDisk1);
  Run(seconds(6));
  Offer(6, kDisk1, 1);
  Run();
  TestDevice& disk = device(kDisk1);
  const auto& executor = static_cast<const SimExecutor&>(disk.channel->executor());
  ASSERT_NE(&executor, &bus_executor());
  TaskGroup tasks(disk.channel->executor(), "test");
  transport().on_open = [&](const OpenParameters&, Channel&) {
    const SimTurn turn = sim_.Enter(executor);
    tasks.Spawn(Ignore(disk.CloseChannels()));
  };
  {
    const SimTurn turn = sim_.Enter(executor);
    tasks.Spawn(Ignore(disk.OpenSubchannels()));
  }
  Run();
  transport().on_open = nullptr;
  EXPECT_EQ(tasks.running(), 0u);
  EXPECT_EQ(journal().lines.back(), "d1 sub 1 CANCELLED");
  EXPECT_TRUE(disk.subchannels.empty());
  EXPECT_EQ(transport().open_channels(), 1u);
}

}  // namespace
}  // namespace vmbuskit
