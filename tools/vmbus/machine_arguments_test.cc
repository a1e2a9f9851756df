// A machine from arguments, from a file, and from both.
#include "tools/vmbus/machine_arguments.h"

#include <cstdio>
#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "tools/vmbus/chaos.h"

namespace vmbuskit {
namespace {

std::string ErrorOf(const MachineArguments& arguments) {
  const absl::StatusOr<Machine> machine = MachineFromArguments(arguments);
  return machine.ok() ? "no error" : std::string(machine.status().message());
}

TEST(MachineArgumentsTest, DisksGetAControllerAndNames) {
  const Machine machine = *MachineFromArguments({.disks = {"a.img", "ram:1M,export=scratch"},
                                                 .nbd = {"unix:a.sock"},
                                                 .memory = "64M",
                                                 .cpus = 3,
                                                 .poll = true});
  ASSERT_EQ(machine.controllers.size(), 1u);
  ASSERT_EQ(machine.controllers[0].disks.size(), 2u);
  EXPECT_EQ(machine.controllers[0].disks[0].export_name, "disk0");
  EXPECT_EQ(machine.controllers[0].disks[1].export_name, "scratch");
  EXPECT_EQ(machine.controllers[0].disks[1].lun, 1u);
  EXPECT_EQ(machine.nbd.listen, std::vector<std::string>{"unix:a.sock"});
  EXPECT_EQ(machine.memory_bytes, uint64_t{64} << 20);
  EXPECT_EQ(machine.cpus, 3u);
  EXPECT_TRUE(machine.poll);
}

TEST(MachineArgumentsTest, WhatIsSaidBesidesAFileCounts) {
  const std::string path = testing::TempDir() + "/machine.json";
  std::ofstream(path) << R"({"cpus": 2, "memory": "128M", "nbd": {"listen": "unix:a"},
      "controllers": [{"type": "fc", "disks": [{"ram": "1M"}]},
                      {"type": "scsi", "disks": [{"ram": "2M"}]}]})";
  const Machine machine = *MachineFromArguments(
      {.machine_file = path, .disks = {"null:1G"}, .nbd = {"tcp:1"}, .cpus = 1});
  std::remove(path.c_str());
  ASSERT_EQ(machine.controllers.size(), 2u);
  EXPECT_EQ(machine.controllers[0].disks.size(), 1u);
  ASSERT_EQ(machine.controllers[1].disks.size(), 2u) << "the first SCSI controller gets it";
  EXPECT_EQ(machine.controllers[1].disks[1].Text(), "null:1073741824");
  EXPECT_EQ(machine.nbd.listen, (std::vector<std::string>{"unix:a", "tcp:1"}));
  EXPECT_EQ(machine.cpus, 1u);
  EXPECT_EQ(machine.memory_bytes, uint64_t{128} << 20);
}

TEST(MachineArgumentsTest, MistakesAreNamed) {
  EXPECT_EQ(ErrorOf({}), "there is no disk; name one with --disk or in --machine");
  EXPECT_EQ(ErrorOf({.machine_file = "/nowhere.json"}),
            "machine file '/nowhere.json' cannot be read");
  EXPECT_EQ(ErrorOf({.disks = {"ram:1M"}, .memory = "1M"}), "memory is 1M; possible are 16M to 1T");
  EXPECT_NE(ErrorOf({.disks = {"ram:lots"}}).find("'lots'"), std::string::npos);
  EXPECT_NE(ErrorOf({.disks = {"ram:1M,lun=1", "ram:1M,lun=1"}}).find("lun 1 is taken twice"),
            std::string::npos);
}

TEST(ChaosTest, PlansAreListsOfTimes) {
  const ChaosPlan plan = *ParseChaos("rescind:1s,hotplug:250ms");
  EXPECT_EQ(plan.rescind, std::chrono::seconds(1));
  EXPECT_EQ(plan.hotplug, std::chrono::milliseconds(250));
  EXPECT_TRUE(plan.any());
  EXPECT_FALSE(ChaosPlan().any());
  for (const char* wrong : {"", "rescind", "rescind:", "rescind:1", "rescind:1ms", "rescind:2h",
                            "reboot:1s", "rescind:1s,", "rescind:-1s", "hotplug:3601s"}) {
    EXPECT_FALSE(ParseChaos(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace vmbuskit
