// The echo driver against a host that the test plays.
#include "devices/echo/echo.h"

#include <vector>

#include "devices/echo/protocol.h"
#include "framework/bus/driver_testing.h"
#include "framework/channel/payload.h"

namespace vmbuskit {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class EchoTest : public DriverTest {
 protected:
  EchoTest() : DriverTest(EchoClass()) {
    host.on_packet = [this](Channel& channel, const Packet& packet) {
      auto message = packet.PayloadAs<echo::Negotiate>();
      ASSERT_TRUE(message.has_value());
      asked_.push_back(message->version);
      if (silent_) return;
      message->accepted = message->version == accepted_version_;
      ASSERT_EQ(channel.Complete(packet.transaction_id, BytesOf(*message)), SendResult::kOk);
    };
  }

  uint32_t accepted_version_ = 2;
  bool silent_ = false;
  std::vector<uint32_t> asked_;
};

TEST_F(EchoTest, TakesTheNewestVersionThatTheHostAccepts) {
  Start();
  EXPECT_EQ(Info().state, DeviceState::kRunning);
  EXPECT_EQ(Info().versions, "2");
  EXPECT_EQ(asked_, (std::vector<uint32_t>{2}));
}

TEST_F(EchoTest, FallsBackToAnOlderVersion) {
  accepted_version_ = 1;
  Start();
  EXPECT_EQ(Info().versions, "1");
  EXPECT_EQ(asked_, (std::vector<uint32_t>{2, 1}));
}

TEST_F(EchoTest, FailsWithAReasonWhenTheHostTakesNoVersion) {
  accepted_version_ = 99;
  Start();
  EXPECT_EQ(Info().state, DeviceState::kFailed);
  EXPECT_THAT(Info().status, HasSubstr("the host takes none of our versions"));
}

TEST_F(EchoTest, FailsWithinTheDeadlineWhenTheHostIsSilent) {
  silent_ = true;
  Start();
  EXPECT_EQ(Info().state, DeviceState::kStarting);
  Run(60s);
  EXPECT_EQ(Info().state, DeviceState::kFailed);
  EXPECT_THAT(Info().status, HasSubstr("no completion within 60 s"));
}

TEST_F(EchoTest, CompletesAnEchoWithTheSameBytes) {
  Start();
  const echo::Echo header = {.sequence = 7, .data_bytes = 5};
  RecordingRequest request;
  HostAsks({.payload = BytesOf(header), .payload_tail = TextBytes("hello")}, request);
  ASSERT_EQ(request.ends, (std::vector<RequestEnd>{RequestEnd::kCompleted}));
  EXPECT_EQ(request.reply.substr(sizeof header, 5), "hello");
  EXPECT_EQ(request.reply.size(), 16u) << "13 bytes, padded";
}

TEST_F(EchoTest, ALengthBeyondThePacketFailsTheDeviceNamingIt) {
  Start();
  const echo::Echo header = {.sequence = 7, .data_bytes = 0xFFFFFFFF};
  HostSends({.payload = BytesOf(header)});
  Run();
  EXPECT_EQ(Info().state, DeviceState::kFailed);
  EXPECT_THAT(Info().status, HasSubstr("echo bytes is 8"));
}

TEST_F(EchoTest, APacketWithoutAHeaderFailsTheDevice) {
  Start();
  HostSends({});
  Run();
  EXPECT_EQ(Info().state, DeviceState::kFailed);
  EXPECT_THAT(Info().status, HasSubstr("echo bytes is 0"));
}

}  // namespace
}  // namespace vmbuskit
