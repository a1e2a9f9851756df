// Sub-channels, and what becomes of the requests on them.
#include "devices/storvsc/storvsc_lanes.h"

#include "devices/storvsc/storvsc_testing.h"

namespace vmbuskit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class StorvscLanesTest : public StorvscTest {
 protected:
  StorvscLanesTest() {
    storvsp.properties.max_channel_count = 8;
    storvsp.on_create_subchannels = [this](uint16_t count) {
      asked_for = count;
      for (uint16_t index = 1; index <= count && index <= offered_max; ++index) {
        OfferSubchannel(index);
      }
    };
  }

  uint16_t asked_for = 0;
  uint16_t offered_max = 100;
};

TEST_F(StorvscLanesTest, AsksForOneLessThanCpusAndOpensWhatComes) {
  Start();
  EXPECT_EQ(asked_for, 3) << "4 CPUs";
  EXPECT_EQ(Info().channel_count, 4u);
  EXPECT_EQ(storvsp.control.back(), storvsc::kCreateSubchannels) << "after END, as Linux";
  EXPECT_THAT(Inspect(), HasSubstr("\"lane 3\""));
}

TEST_F(StorvscLanesTest, AsksBeforeTheEndWhenToldTo) {
  profile.subchannels_before_end = true;
  Start();
  EXPECT_THAT(storvsp.control,
              ElementsAre(storvsc::kBeginInitialization, storvsc::kQueryProtocolVersion,
                          storvsc::kQueryProperties, storvsc::kCreateSubchannels,
                          storvsc::kEndInitialization));
  EXPECT_EQ(Info().channel_count, 4u);
  EXPECT_EQ(Info().state, DeviceState::kRunning);
}

TEST_F(StorvscLanesTest, NoMoreThanTheHostHas) {
  storvsp.properties.max_channel_count = 2;
  Start();
  EXPECT_EQ(asked_for, 2);
  EXPECT_EQ(Info().channel_count, 3u);
}

TEST_F(StorvscLanesTest, WithoutTheFlagOrBeforeVersion51ThereAreNone) {
  storvsp.properties.flags = 0;
  Start();
  EXPECT_EQ(asked_for, 0);
  storvsp.properties.flags = storvsc::kPropertyMultiChannel;
  storvsp.version_max = storvsc::kVersion4_2;
  {
    const SimTurn turn = sim.Enter(static_cast<const SimExecutor&>(device_executor()));
    ASSERT_EQ(bus.RestartDevice(kInstance), absl::OkStatus());
  }
  Run();
  EXPECT_EQ(Info().versions, "4.2");
  EXPECT_EQ(asked_for, 0);
  EXPECT_EQ(Info().channel_count, 1u);
}

TEST_F(StorvscLanesTest, FewerThanAskedForAreNoErrorAndLateOnesAreOpened) {
  offered_max = 1;
  Start();
  Run(std::chrono::seconds(6));
  EXPECT_EQ(Info().state, DeviceState::kRunning);
  EXPECT_EQ(Info().channel_count, 2u);
  OfferSubchannel(2);
  Run();
  EXPECT_EQ(Info().channel_count, 3u);
}

TEST_F(StorvscLanesTest, ARefusalCostsNothingButSpeed) {
  storvsp.statuses[storvsc::kCreateSubchannels] = storvsc::kStatusInvalidParameter;
  Start();
  EXPECT_EQ(Info().state, DeviceState::kRunning);
  EXPECT_EQ(Info().channel_count, 1u);
  EXPECT_THAT(Inspect(), HasSubstr("\"subchannels_failed\": 1"));
}

TEST_F(StorvscLanesTest, AnOpenThatFailsIsNoError) {
  transport.Script(FakeOperation::kOpen, FakeAnswer::kFail, kRelid + 12);
  Start();
  EXPECT_EQ(Info().state, DeviceState::kRunning);
  EXPECT_EQ(Info().channel_count, 3u);
  EXPECT_THAT(Inspect(), HasSubstr("\"subchannels_failed\": 1"));
}

TEST_F(StorvscLanesTest, OffersBeyondTheCountAreNotOpened) {
  Start();
  OfferSubchannel(4);
  Run();
  EXPECT_EQ(Info().channel_count, 4u);
  EXPECT_THAT(transport.log(), Not(testing::Contains("open 19")));
}

TEST_F(StorvscLanesTest, ARescindedSubchannelGoesAloneAndMayComeBack) {
  Start();
  transport.Rescind(kRelid + 11);
  Run();
  EXPECT_EQ(Info().state, DeviceState::kRunning);
  EXPECT_EQ(Info().channel_count, 3u);
  EXPECT_THAT(Inspect(), HasSubstr("\"subchannels_ended\": 1"));
  OfferSubchannel(1);
  Run();
  EXPECT_EQ(Info().channel_count, 4u);
}

TEST_F(StorvscLanesTest, RescindOfASubchannelWhileItIsOpened) {
  transport.Script(FakeOperation::kOpen, FakeAnswer::kSucceedThenRescind, kRelid + 11);
  Start();
  Run();
  EXPECT_EQ(Info().state, DeviceState::kRunning);
  EXPECT_EQ(Info().channel_count, 3u);
}

TEST_F(StorvscLanesTest, ASubchannelWhoseHostBreaksARuleFailsTheDevice) {
  Start();
  {
    const SimTurn turn = EnterHost();
    ASSERT_EQ(transport.host(kRelid + 12)->Complete(77, {}), SendResult::kOk);
  }
  Run();
  EXPECT_EQ(Info().state, DeviceState::kFailed);
}

TEST_F(StorvscLanesTest, RescindOfAllAtOnce) {
  Start();
  for (uint32_t relid : {kRelid + 13, kRelid + 11, kRelid, kRelid + 12}) transport.Rescind(relid);
  Run();
  EXPECT_EQ(Info().state, DeviceState::kGone);
  EXPECT_EQ(listener.journal, "+0:0:0 -0:0:0 ");
}

}  // namespace
}  // namespace vmbuskit
