#include "devices/storvsc/handshake.h"

#include "devices/storvsc/storvsc_testing.h"

namespace vmbuskit {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

class HandshakeTest : public StorvscTest {};

TEST_F(HandshakeTest, GoesThroughItsStepsInOrder) {
  Start();
  EXPECT_EQ(Info().state, DeviceState::kRunning) << Info().status;
  EXPECT_EQ(Info().versions, "6.2");
  EXPECT_THAT(storvsp.control,
              ElementsAre(storvsc::kBeginInitialization, storvsc::kQueryProtocolVersion,
                          storvsc::kQueryProperties, storvsc::kEndInitialization));
  EXPECT_THAT(storvsp.control_bytes, Each(64u));
}

TEST_F(HandshakeTest, TriesVersionsFromNewestToOldest) {
  struct Case {
    uint16_t version;
    const char* name;
    size_t queries;
    size_t bytes;
  };
  for (const Case& old :
       {Case{storvsc::kVersion6_0, "6.0", 2, 64}, Case{storvsc::kVersion5_1, "5.1", 3, 64},
        Case{storvsc::kVersion4_2, "4.2", 4, 48}, Case{storvsc::kVersion2_0, "2.0", 5, 48}}) {
    storvsp.version_max = old.version;
    storvsp.control.clear();
    storvsp.control_bytes.clear();
    storvsp.wire.commands.clear();
    if (controller == nullptr) {
      Start();
    } else {
      const SimTurn turn = sim.Enter(static_cast<const SimExecutor&>(device_executor()));
      ASSERT_EQ(bus.RestartDevice(kInstance), absl::OkStatus());
    }
    Run();
    EXPECT_EQ(Info().versions, old.name);
    EXPECT_EQ(std::ranges::count(storvsp.control, uint32_t{storvsc::kQueryProtocolVersion}),
              static_cast<int64_t>(old.queries));
    EXPECT_EQ(storvsp.control_bytes.back(), old.bytes) << "END_INITIALIZATION";
    EXPECT_EQ(storvsp.wire.commands.back().packet_bytes, old.bytes) << "SCSI commands";
    EXPECT_EQ(listener.disks.size(), 1u) << old.name;
  }
}

TEST_F(HandshakeTest, WithoutACommonVersionTheDeviceFailsAndSaysSo) {
  storvsp.version_max = 0;
  Start();
  EXPECT_EQ(Info().state, DeviceState::kFailed);
  EXPECT_THAT(Info().status,
              HasSubstr("no protocol version in common, the host refuses 6.2 (0xC0000059), 6.0 "
                        "(0xC0000059), 5.1 (0xC0000059), 4.2 (0xC0000059), 2.0 (0xC0000059)"));
}

TEST_F(HandshakeTest, AnAnswerThatBreaksARuleFailsTheDeviceByName) {
  storvsp.properties.max_transfer_bytes = 0;
  Start();
  EXPECT_EQ(Info().state, DeviceState::kFailed);
  EXPECT_THAT(Info().status, HasSubstr("max_transfer_bytes is 0"));
}

TEST_F(HandshakeTest, ARefusalNamesMessageAndStatus) {
  storvsp.statuses[storvsc::kEndInitialization] = storvsc::kStatusInvalidDeviceState;
  Start();
  EXPECT_EQ(Info().state, DeviceState::kFailed);
  EXPECT_THAT(Info().status,
              HasSubstr("END_INITIALIZATION: the host answers with status 0xC0000184"));
}

TEST_F(HandshakeTest, ASilentHostFailsTheStartAfterItsDeadline) {
  storvsp.silent = {storvsc::kQueryProperties};
  Start();
  EXPECT_EQ(Info().state, DeviceState::kStarting);
  Run(std::chrono::seconds(61));
  EXPECT_EQ(Info().state, DeviceState::kFailed);
  EXPECT_THAT(Info().status, HasSubstr("QUERY_PROPERTIES"));
}

TEST_F(HandshakeTest, LimitsOfTheHostAreRoundedAndBounded) {
  storvsp.properties.max_transfer_bytes = 100'000;
  Start();
  EXPECT_EQ(Disk()->info().max_transfer_bytes, 98'304u) << "whole pages";
  storvsp.properties.max_transfer_bytes = 0xFFFFFFFF;
  {
    const SimTurn turn = sim.Enter(static_cast<const SimExecutor&>(device_executor()));
    ASSERT_EQ(bus.RestartDevice(kInstance), absl::OkStatus());
  }
  Run();
  ASSERT_NE(Disk(), nullptr);
  EXPECT_LE(Disk()->info().max_transfer_bytes, 8u << 20);
  EXPECT_GE(Disk()->info().max_transfer_bytes, 1u << 20);
}

TEST_F(HandshakeTest, RescindWhileItWaitsEndsTheStart) {
  storvsp.silent = {storvsc::kBeginInitialization};
  Start();
  transport.Rescind(kRelid);
  Run();
  EXPECT_EQ(Info().state, DeviceState::kGone);
}

}  // namespace
}  // namespace vmbuskit
