// Capturing on the live bus.
#include <cstring>

#include "framework/bus/bus_testing.h"
#include "framework/observe/pcapng.h"

namespace vmbuskit {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class FileSink final : public ByteSink {
 public:
  absl::Status Write(std::span<const std::byte> bytes) override {
    data.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return absl::OkStatus();
  }
  std::string data;
};

// The packets of a capture, as "relid direction text".
std::vector<std::string> Packets(std::string_view file) {
  std::vector<std::string> packets;
  while (file.size() >= 12) {
    uint32_t type = 0, length = 0, relid = 0;
    std::memcpy(&type, file.data(), 4);
    std::memcpy(&length, file.data() + 4, 4);
    if (type == 6) {
      std::memcpy(&relid, file.data() + 28, 4);
      packets.push_back(absl::StrCat(relid, file[32] == 1 ? " out " : " in ",
                                     std::string(file.substr(28 + 16 + 16, 4))));
    }
    file.remove_prefix(length);
  }
  return packets;
}

class BusCaptureTest : public BusTest {
 protected:
  void HostSends(uint32_t relid, std::string_view text) {
    {
      const SimTurn turn = sim_.Enter(static_cast<const SimExecutor&>(transport().host_executor()));
      ASSERT_EQ(transport().host(relid)->Send({.payload = TextBytes(text)}), SendResult::kOk);
    }
    Run();
  }
  std::vector<std::string> Drain() {
    FileSink sink;
    EXPECT_EQ(Await(bus().DrainCapture(sink)), absl::OkStatus());
    return Packets(sink.data);
  }
};
INSTANTIATE_TEST_SUITE_P(Seeds, BusCaptureTest, testing::Range<uint64_t>(0, 4));

TEST_P(BusCaptureTest, SeesChannelsOpenedBeforeAndAfterItBegan) {
  Start();
  Offer(5, kDisk1);
  Run();
  HostSends(5, "lost");
  EXPECT_EQ(Await(bus().StartCapture({})), absl::OkStatus());
  EXPECT_EQ(Await(bus().StartCapture({})).code(), absl::StatusCode::kFailedPrecondition);
  Offer(6, kDisk2);
  Run();
  HostSends(5, "one ");
  EXPECT_THAT(Drain(), ElementsAre("5 in one ", "5 out one "));
  HostSends(6, "two ");
  EXPECT_THAT(Drain(), ElementsAre("6 in two ", "6 out two "));
  EXPECT_THAT(Drain(), IsEmpty());

  ASSERT_TRUE(RunTask(sim_, bus_executor(), bus().StopCapture()));
  HostSends(5, "off ");
  FileSink sink;
  EXPECT_EQ(Await(bus().DrainCapture(sink)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(sink.data, "");
}

TEST_P(BusCaptureTest, SurvivesDevicesThatComeAndGoMeanwhile) {
  Start();
  for (int round = 0; round < 10; ++round) {
    Offer(5, kDisk1);
    Offer(6, kDisk2);
    EXPECT_EQ(Await(bus().StartCapture({})), absl::OkStatus());
    transport().Rescind(5);
    ASSERT_TRUE(RunTask(sim_, bus_executor(), bus().StopCapture()));
    transport().Rescind(6);
    EXPECT_EQ(Await(bus().StartCapture({})), absl::OkStatus());
    Run();
    EXPECT_THAT(Drain(), IsEmpty());
    ASSERT_TRUE(RunTask(sim_, bus_executor(), bus().StopCapture()));
  }
}

}  // namespace
}  // namespace vmbuskit
