// The heartbeat driver, and with it the guest side of the integration components, against a host that the test plays.
#include "devices/util/heartbeat/heartbeat.h"

#include <vector>

#include "devices/util/heartbeat/protocol.h"
#include "devices/util/ic/message.h"
#include "devices/util/ic/negotiation.h"
#include "framework/base/hex.h"
#include "framework/bus/driver_testing.h"

namespace vmbuskit {
namespace {

using testing::HasSubstr;

constexpr ic::Version kFrameworks[] = {{1, 0}, {3, 0}};
constexpr ic::Version kMessages[] = {{1, 0}, {3, 0}};

class HeartbeatTest : public DriverTest {
 protected:
  HeartbeatTest() : DriverTest(HeartbeatClass()) {}

  void Negotiate(const ic::VersionLists& offered = {kFrameworks, kMessages}) {
    std::vector<std::byte> bytes(256);
    bytes.resize(ic::BuildNegotiation(offered, bytes));
    HostSends({.transaction_id = 77, .payload = bytes});
  }
  static std::vector<std::byte> Beat() {
    return FromHex(
        "01 00 00 00 24 00 00 00 03 00 00 00 01 00 03 00 00 00 10 00 00 00 00 00 00 03 00 00"
        " 07 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
  }
  // The last answer, without the padding behind 44 bytes.
  std::string LastAnswer() {
    if (host.packets.empty()) return "(none)";
    return ToHex(TextBytes(host.packets.back().payload).first(44));
  }
};

TEST_F(HeartbeatTest, AnswersTheVectorWithTheNextSequenceAndHealthy) {
  Start();
  Negotiate();
  HostSends({.transaction_id = 0x1234, .payload = Beat()});
  EXPECT_EQ(LastAnswer(),
            "01 00 00 00 24 00 00 00 03 00 00 00 01 00 03 00 00 00 10 00 00 00 00 00 00 05 00 00 "
            "08 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00");
  EXPECT_EQ(host.packets.back().type, PacketType::kInBand) << "a message, not a completion";
  EXPECT_EQ(host.packets.back().transaction_id, 0x1234u);
}

TEST_F(HeartbeatTest, AgreesToTheNewestVersionsInCommon) {
  Start();
  EXPECT_EQ(Info().versions, "");
  Negotiate();
  EXPECT_EQ(Info().versions, "framework 3.0, message 3.0");
  constexpr ic::Version kOld[] = {{1, 0}};
  Negotiate({kOld, kOld});
  EXPECT_EQ(Info().versions, "framework 1.0, message 1.0");
}

TEST_F(HeartbeatTest, WithoutACommonVersionThereIsNoServiceUntilTheNextNegotiation) {
  Start();
  constexpr ic::Version kNew[] = {{9, 0}};
  Negotiate({kFrameworks, kNew});
  EXPECT_EQ(Info().versions, "");
  HostSends({.payload = Beat()});
  EXPECT_THAT(LastAnswer(), HasSubstr("05 40 00 80")) << "E_FAIL";
  Negotiate();
  HostSends({.payload = Beat()});
  EXPECT_THAT(LastAnswer(), HasSubstr("08 00 00 00 00 00 00 00 01"));
}

TEST_F(HeartbeatTest, AnswersAForeignMessageTypeWithFailure) {
  Start();
  Negotiate();
  std::vector<std::byte> bytes = Beat();
  bytes[12] = std::byte{4};  // time sync
  HostSends({.payload = bytes});
  EXPECT_THAT(LastAnswer(), HasSubstr("05 40 00 80"));
}

TEST_F(HeartbeatTest, ABodyOfEightBytesIsEnough) {
  Start();
  Negotiate();
  std::vector<std::byte> bytes = Beat();
  bytes[18] = std::byte{8};
  HostSends({.payload = bytes});
  EXPECT_THAT(LastAnswer(), HasSubstr("08 00 00 00 00 00 00 00 00 00 00 00"))
      << "sequence counted, state beyond the body untouched";
}

TEST_F(HeartbeatTest, DropsWhatBreaksARuleAndSaysSo) {
  Start();
  Negotiate();
  const size_t answers = host.packets.size();
  std::vector<std::byte> short_body = Beat();
  short_body[18] = std::byte{7};
  HostSends({.payload = short_body});
  std::vector<std::byte> long_body = Beat();
  long_body[18] = std::byte{200};
  HostSends({.payload = long_body});
  HostSends({.payload = std::vector<std::byte>(20)});
  HostSends({.payload = std::vector<std::byte>(4200)});
  EXPECT_EQ(host.packets.size(), answers);
  EXPECT_EQ(Info().state, DeviceState::kRunning);
  EXPECT_THAT(Inspect(), HasSubstr("\"dropped_malformed\": 4"));
  HostSends({.payload = Beat()});
  EXPECT_EQ(host.packets.size(), answers + 1) << "the service goes on";
}

TEST_F(HeartbeatTest, AQueueOfBeatsIsAnsweredWhole) {
  Start();
  Negotiate();
  const size_t answers = host.packets.size();
  {
    const SimTurn turn = EnterHost();
    const std::vector<std::byte> beat = Beat();
    for (int i = 0; i < 100; ++i) {
      ASSERT_EQ(transport.host(kRelid)->Send({.payload = beat}), SendResult::kOk);
    }
  }
  Run();
  EXPECT_EQ(host.packets.size(), answers + 100);
}

}  // namespace
}  // namespace vmbuskit
