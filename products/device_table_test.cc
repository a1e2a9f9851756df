#include "products/device_table.h"

#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

DeviceRow Echo() {
  return {.device_class = "echo",
          .instance = "6563686f-0002-4000-8000-766d6275736b",
          .relid = 1,
          .state = "Running",
          .versions = "2.0",
          .channels = 1,
          .cpu = 1,
          .packets_in = 12,
          .packets_out = 13,
          .error = ""};
}

DeviceRow Heartbeat() {
  return {.device_class = "heartbeat",
          .instance = "fd149e91-82e0-4a7d-afa6-2a4166cbd7c0",
          .relid = 12,
          .state = "Starting",
          .versions = "",
          .channels = 0,
          .cpu = 0,
          .packets_in = 0,
          .packets_out = 0,
          .error = ""};
}

TEST(DeviceTable, HasALinePerDevice) {
  const std::vector<DeviceRow> rows = {Echo(), Heartbeat()};
  EXPECT_EQ(DeviceTable(rows),
            "CLASS      INSTANCE                              RELID  STATE     VERSIONS  CHANNELS  "
            "CPU  PACKETS IN  PACKETS OUT\n"
            "echo       6563686f-0002-4000-8000-766d6275736b      1  Running   2.0              1  "
            "  1          12           13\n"
            "heartbeat  fd149e91-82e0-4a7d-afa6-2a4166cbd7c0     12  Starting  -                0  "
            "  0           0            0\n");
}

TEST(DeviceTable, ExplainsAFailedDeviceBelow) {
  DeviceRow failed = Echo();
  failed.state = "Failed";
  failed.error = "channel 1: message type is 9\x1b[2J";
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
  after.state = "Stopping";
  EXPECT_NE(DeviceGist({&before, 1}), DeviceGist({&after, 1}));
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
            "heartbeat fd149e91-82e0-4a7d-afa6-2a4166cbd7c0 is not running (state Starting)");
  rows[1].state = "Failed";
  rows[1].error = "no answer";
  EXPECT_EQ(
      WhatHasNotRun(rows),
      "heartbeat fd149e91-82e0-4a7d-afa6-2a4166cbd7c0 is not running (state Failed: no answer)");
  rows[1] = Heartbeat();
  rows[1].state = "Running";
  EXPECT_EQ(
      WhatHasNotRun(rows),
      "heartbeat fd149e91-82e0-4a7d-afa6-2a4166cbd7c0 has not agreed on a version (state Running)");
  rows[1].versions = "3.0";
  EXPECT_EQ(WhatHasNotRun(rows),
            "heartbeat fd149e91-82e0-4a7d-afa6-2a4166cbd7c0 has had no packet from the host (state "
            "Running)");
  rows[1].packets_in = 1;
  EXPECT_EQ(WhatHasNotRun(rows),
            "heartbeat fd149e91-82e0-4a7d-afa6-2a4166cbd7c0 has sent no packet (state Running)");
}

}  // namespace
}  // namespace vmbuskit
