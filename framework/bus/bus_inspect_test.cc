// What the bus says about itself, and the class registry.
#include "framework/bus/bus_testing.h"

namespace vmbuskit {
namespace {

using testing::HasSubstr;

class BusInspectTest : public BusTest {};
INSTANTIATE_TEST_SUITE_P(Seeds, BusInspectTest, testing::Values(0, 5));

TEST_P(BusInspectTest, DescribeCountsPackets) {
  RecordingHandler host;
  transport().SetHost(kDisk1, host);
  Start();
  Offer(5, kDisk1);
  Run();
  for (int i = 0; i < 3; ++i) {
    const SimTurn turn = sim_.Enter(static_cast<const SimExecutor&>(transport().host_executor()));
    ASSERT_EQ(transport().host(5)->Send({.payload = TextBytes("beat")}), SendResult::kOk);
  }
  Run();
  EXPECT_EQ(host.packet_count, 3u);
  const DeviceInfo info = Info(kDisk1);
  EXPECT_EQ(info.packets_in, 3u);
  EXPECT_EQ(info.packets_out, 3u);
  EXPECT_EQ(Await(bus().Stop()), absl::OkStatus());
}

TEST_P(BusInspectTest, AChannelThatItsHostBrokeIsSeen) {
  Start();
  Offer(5, kDisk1);
  Run();
  {
    const SimTurn turn = sim_.Enter(static_cast<const SimExecutor&>(bus_executor()));
    device(kDisk1).channel->Close(absl::DataLossError("write_index is 3"));
  }
  EXPECT_EQ(Info(kDisk1).status, "channel ended: write_index is 3");
}

TEST_P(BusInspectTest, TheTreeAsJson) {
  Plan(kDisk2).start_fails = true;
  Start();
  Offer(6, kDisk2);
  Offer(9, kDisk3, 0, kUnknownClass);
  Run();
  InspectNode node;
  ASSERT_TRUE(RunTask(sim_, bus_executor(), bus().Inspect(node)));
  EXPECT_EQ(node.ToJson(),
            R"({
  "state": "running",
  "version": "5.3",
  "device_count": 2,
  "devices_max": 2047,
  "offers": 2,
  "offers_refused": 0,
  "rescinds": 0,
  "early_subchannels": 0,
  "cpus_online": 4,
  "capturing": false,
  "devices": {
    "disk 00000000-0000-0000-0000-0000000000d2": {
      "class": "disk",
      "class_id": "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f",
      "instance_id": "00000000-0000-0000-0000-0000000000d2",
      "relid": 6,
      "state": "failed",
      "status": "no version in common",
      "subchannels_offered": 0,
      "versions": ""
    },
    "device 00000000-0000-0000-0000-0000000000d3": {
      "class": "",
      "class_id": "276aacf4-ac15-426c-98dd-7521ad3f01fe",
      "instance_id": "00000000-0000-0000-0000-0000000000d3",
      "relid": 9,
      "state": "offered",
      "status": "no driver",
      "subchannels_offered": 0,
      "versions": ""
    }
  }
})");
}

TEST_P(BusInspectTest, RunningDevicesShowDriverAndChannels) {
  Start();
  Offer(5, kDisk1);
  Run();
  InspectNode node;
  ASSERT_TRUE(RunTask(sim_, bus_executor(), bus().Inspect(node)));
  const std::string path = absl::StrCat("devices/disk ", kDisk1.ToString());
  ASSERT_NE(node.Find(path + "/driver"), nullptr);
  EXPECT_EQ(node.Find(path + "/driver")->ToJson(), "{\n  \"subchannels\": 0\n}");
  ASSERT_NE(node.Find(path + "/channels/0"), nullptr);
  EXPECT_THAT(node.Find(path + "/channels/0")->ToJson(),
              HasSubstr(absl::StrCat("\"name\": \"disk ", kDisk1.ToString(), " channel 5\"")));
}

TEST_P(BusInspectTest, DescribingWhileDevicesComeAndGoIsSafe) {
  Start();
  for (int round = 0; round < 20; ++round) {
    Offer(5, kDisk1);
    Offer(6, kDisk2);
    InspectNode node;
    ASSERT_TRUE(RunTask(sim_, bus_executor(), bus().Inspect(node)));
    transport().Rescind(5);
    (void)Describe();
    transport().Rescind(6);
    ASSERT_TRUE(RunTask(sim_, bus_executor(), bus().Inspect(node)));
    Run();
    EXPECT_EQ(bus().device_count(), 0u);
  }
}

TEST(ClassRegistryTest, DuplicatesAreRefusedWithBothNames) {
  static constexpr Guid kIds[] = {kBeatClass, kDiskClass};
  static constexpr auto kCreate = [](DeviceContext&) -> std::unique_ptr<Device> { return nullptr; };
  static constexpr DeviceClass kFirst{
      .name = "first", .class_ids = {&kDiskClass, 1}, .create = kCreate};
  static constexpr DeviceClass kSecond{.name = "second", .class_ids = kIds, .create = kCreate};
  static constexpr DeviceClass kEmpty{.name = "empty", .class_ids = {}, .create = kCreate};
  static constexpr DeviceClass kBarren{.name = "barren", .class_ids = kIds};
  static constexpr const DeviceClass* kBoth[] = {&kFirst, &kSecond};
  static constexpr const DeviceClass* kOnes[] = {&kFirst, &kEmpty, &kBarren, nullptr};
  ClassRegistry registry;
  EXPECT_EQ(
      registry.Add(kBoth),
      absl::AlreadyExistsError("class GUID ba6163d9-04a1-4d29-b605-72e2ffb1dc7f is claimed by "
                               "both \"first\" and \"second\""));
  EXPECT_EQ(registry.size(), 0u);  // all or nothing
  EXPECT_EQ(registry.Add(std::span(kOnes).subspan(0, 1)), absl::OkStatus());
  EXPECT_EQ(registry.Find(kDiskClass), &kFirst);
  EXPECT_EQ(registry.Find(kBeatClass), nullptr);
  EXPECT_EQ(registry.Add(std::span(kOnes).subspan(1, 1)),
            absl::InvalidArgumentError("device class \"empty\" has no class GUID"));
  EXPECT_EQ(registry.Add(std::span(kOnes).subspan(2, 1)),
            absl::InvalidArgumentError("device class \"barren\" has no create function"));
  EXPECT_EQ(registry.Add(std::span(kOnes).subspan(3, 1)).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace vmbuskit
