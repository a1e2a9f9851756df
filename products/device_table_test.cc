#include "products/device_table.h"

#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

DeviceRow Echo() {
  return {.device_class = "echo",
          .instance = "6563686f-0002-4000-8000-766d6275736b",
          .relid = 1,
          .state = "running",
          .versions = "2.0",
          .channels = 1,
          .cpus = {1, 0},
          .packets_in = 12,
          .packets_out = 13,
          .status = ""};
}

DeviceRow Heartbeat() {
  return {.device_class = "heartbeat",
          .instance = "fd149e91-82e0-4a7d-afa6-2a4166cbd7c0",
          .relid = 12,
          .state = "starting",
          .versions = "",
          .channels = 0,
          .cpus = {},
          .packets_in = 0,
          .packets_out = 0,
          .status = ""};
}

TEST(DeviceTable, HasALinePerDevice) {
  const std::vector<DeviceRow> rows = {Echo(), Heartbeat()};
  EXPECT_EQ(DeviceTable(rows),
            "CLASS      RELID  STATE     CPU  CHANNELS  IN  OUT  VERSIONS  INSTANCE\n"
            "echo           1  running   1,0         1  12   13  2.0       "
            "6563686f-0002-4000-8000-766d6275736b\n"
            "heartbeat     12  starting    -         0   0    0  -         "
            "fd149e91-82e0-4a7d-afa6-2a4166cbd7c0\n");
}

TEST(DeviceTable, ExplainsAFailedDeviceBelow) {
  DeviceRow failed = Echo();
  failed.state = "failed";
  failed.status = "channel 1: message type is 9\x1b[2J";
  const std::string text = DeviceTable({&failed, 1});
  const std::string last = text.substr(text.rfind('\n', text.size() - 2) + 1);
  EXPECT_EQ(last, "echo 6563686f-0002-4000-8000-766d6275736b: channel 1: message type is 9?[2J\n");
}

TEST(DeviceGist, ChangesWithTheStateAndTheFirstPacketOnly) {
  const DeviceRow before = Echo();
  DeviceRow after = before;
  after.packets_in = 500;
  after.packets_out = 400;
  EXPECT_EQ(DeviceGist({&before, 1}), DeviceGist({&after, 1}));
  after.packets_in = 0;
  EXPECT_NE(DeviceGist({&before, 1}), DeviceGist({&after, 1}));
  after = before;
  after.state = "stopping";
  EXPECT_NE(DeviceGist({&before, 1}), DeviceGist({&after, 1}));
}

TEST(DeviceRows, AreWhatTheBusTells) {
  const DeviceInfo info = {.class_name = "echo",
                           .class_id = Guid::Parse("6563686f-0001-4000-8000-766d6275736b"),
                           .instance_id = Guid::Parse("6563686f-0002-4000-8000-766d6275736b"),
                           .relid = 1,
                           .state = DeviceState::kRunning,
                           .status = "",
                           .versions = "2.0",
                           .channel_count = 1,
                           .subchannels_offered = 0,
                           .cpus = {1, 0},
                           .packets_in = 12,
                           .packets_out = 13};
  const std::vector<DeviceRow> rows = DeviceRows({&info, 1});
  ASSERT_EQ(rows.size(), 1u);
  const DeviceRow expected = Echo();
  EXPECT_EQ(DeviceTable(rows), DeviceTable({&expected, 1}));
  EXPECT_TRUE(rows[0].HasRun());
}

TEST(WhatHasNotRun, PassesOverDevicesThatAreGone) {
  std::vector<DeviceRow> rows = {Echo(), Heartbeat()};
  rows[1].state = "gone";
  EXPECT_EQ(WhatHasNotRun(rows), "");
  rows[0].state = "gone";
  EXPECT_EQ(WhatHasNotRun(rows), "the host has offered no device");
}

TEST(WhatHasNotRun, IsNothingWhenEveryDeviceHas) {
  const std::vector<DeviceRow> rows = {Echo(), Echo()};
  EXPECT_TRUE(rows[0].HasRun());
  EXPECT_EQ(WhatHasNotRun(rows), "");
}

TEST(WhatHasNotRun, NamesTheDeviceAndWhatItLacks) {
  EXPECT_EQ(WhatHasNotRun({}), "the host has offered no device");
  std::vector<DeviceRow> rows = {Echo(), Heartbeat()};
  EXPECT_EQ(WhatHasNotRun(rows),
            "heartbeat fd149e91-82e0-4a7d-afa6-2a4166cbd7c0 is not running (state starting)");
  rows[1].state = "failed";
  rows[1].status = "no answer";
  EXPECT_EQ(
      WhatHasNotRun(rows),
      "heartbeat fd149e91-82e0-4a7d-afa6-2a4166cbd7c0 is not running (state failed: no answer)");
  rows[1] = Heartbeat();
  rows[1].state = "running";
  EXPECT_EQ(
      WhatHasNotRun(rows),
      "heartbeat fd149e91-82e0-4a7d-afa6-2a4166cbd7c0 has not agreed on a version (state running)");
  rows[1].versions = "3.0";
  EXPECT_EQ(WhatHasNotRun(rows),
            "heartbeat fd149e91-82e0-4a7d-afa6-2a4166cbd7c0 has had no packet from the host (state "
            "running)");
  rows[1].packets_in = 1;
  EXPECT_EQ(WhatHasNotRun(rows),
            "heartbeat fd149e91-82e0-4a7d-afa6-2a4166cbd7c0 has sent no packet (state running)");
}

}  // namespace
}  // namespace vmbuskit
