#include "devices/storvsc/storvsc_ide.h"

#include "devices/storvsc/storvsc_testing.h"

namespace vmbuskit {
namespace {

using testing::HasSubstr;

class StorvscIdeTest : public DriverTest {
 protected:
  static constexpr Guid kSecond = Guid::Parse("00000001-0001-8899-0000-000000000000");

  StorvscIdeTest() : DriverTest(StorvscIdeClass()) { transport.SetHost(kSecond, storvsp); }
  ~StorvscIdeTest() override { EXPECT_EQ(Await(bus.Stop()), absl::OkStatus()); }

  FakeStorvsp storvsp{transport.memory()};
};

TEST_F(StorvscIdeTest, TheInstanceNamesTheTargetAndThereIsNoMore) {
  storvsp.properties.max_channel_count = 4;
  storvsp.luns[{.target = 1}] = {};
  ASSERT_EQ(Await(bus.Start()), absl::OkStatus());
  transport.Offer(FakeTransport::MakeOffer(kRelid, storvsc::kIdeClassId, kSecond));
  Run();
  EXPECT_EQ(Info().state, DeviceState::kRunning);
  EXPECT_THAT(Inspect(), HasSubstr("\"lun 0:1:0\""));
  EXPECT_EQ(storvsp.Count(scsi::kReportLuns), 0u);
  EXPECT_EQ(std::ranges::count(storvsp.control, uint32_t{storvsc::kCreateSubchannels}), 0);
}

}  // namespace
}  // namespace vmbuskit
