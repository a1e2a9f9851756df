#include "devices/storvsc/storvsc_fc.h"

#include "devices/storvsc/storvsc_testing.h"
#include "framework/channel/payload.h"

namespace vmbuskit {
namespace {

using testing::HasSubstr;

class StorvscFcTest : public DriverTest {
 protected:
  StorvscFcTest() : DriverTest(StorvscFcClass()) {
    transport.SetHost(kInstance, storvsp);
    storvsp.fc_hba = {.primary_active = 1,
                      .reserved = {},
                      .primary_port = {0x50, 6, 0xB, 0, 0, 0xC2, 0x62, 0},
                      .primary_node = {0x50, 6, 0xB, 0, 0, 0xC2, 0x62, 1},
                      .secondary_port = {0x50, 6, 0xB, 0, 0, 0xC2, 0x62, 2},
                      .secondary_node = {0x50, 6, 0xB, 0, 0, 0xC2, 0x62, 3}};
    storvsp.properties.max_transfer_bytes = 4 << 20;
    storvsp.luns[{.target = 100}] = {};
  }
  ~StorvscFcTest() override { EXPECT_EQ(Await(bus.Stop()), absl::OkStatus()); }

  FakeStorvsp storvsp{transport.memory()};
};

TEST_F(StorvscFcTest, KnowsItsPortsAlsoAfterAFailover) {
  Start();
  Run();
  EXPECT_EQ(Info().state, DeviceState::kRunning) << Info().status;
  std::string shown = Inspect();
  EXPECT_THAT(shown, HasSubstr("\"port_name\": \"50:06:0b:00:00:c2:62:00\""));
  EXPECT_THAT(shown, HasSubstr("\"max_transfer_bytes\": 524288"));
  EXPECT_THAT(shown, HasSubstr("\"lun 0:100:0\""));
  storvsc::PacketOf<storvsc::FcHbaData> update{};
  update.header.operation = storvsc::kFcHbaData;
  update.body = storvsp.fc_hba;
  update.body.primary_active = 0;
  HostSends({.payload = BytesOf(update)});
  EXPECT_THAT(Inspect(), HasSubstr("\"node_name\": \"50:06:0b:00:00:c2:62:03\""));
  HostSends({.payload = BytesOf(update).first(16)});
  EXPECT_EQ(Info().state, DeviceState::kRunning) << "too short: ignored";
}

}  // namespace
}  // namespace vmbuskit
