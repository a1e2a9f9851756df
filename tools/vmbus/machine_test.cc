#include "tools/vmbus/machine.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string ErrorOf(std::string_view json) {
  const absl::StatusOr<Machine> machine = ParseMachine(json, "m.json");
  return machine.ok() ? "no error" : std::string(machine.status().message());
}

TEST(MachineTest, AWholeMachine) {
  absl::StatusOr<Machine> machine = ParseMachine(R"({
    // comments are allowed
    "cpus": 2, "poll": true, "memory": "512M",
    "controllers": [
      {"type": "scsi", "max_version": "6.0", "subchannels": 1,
       "disks": [{"file": "a.img", "read_only": true, "direct": true, "lun": 3, "export": "a"},
                 {"ram": "64M", "block_size": 4096},
                 {"nbd": "nbd+unix:///?socket=/s"}]},
      {"type": "ide", "disks": [{"null": 1048576}]}],
    "nbd": {"listen": ["unix:/tmp/s", "tcp:127.0.0.1:10809"], "tls": "certs", "connections": 8}
  })",
                                                 "m.json");
  ASSERT_TRUE(machine.ok()) << machine.status();
  ASSERT_EQ(CompleteMachine(*machine), absl::OkStatus());
  EXPECT_EQ(machine->cpus, 2u);
  EXPECT_TRUE(machine->poll);
  EXPECT_EQ(machine->memory_bytes, 512u << 20);
  EXPECT_THAT(machine->nbd.listen, ElementsAre("unix:/tmp/s", "tcp:127.0.0.1:10809"));
  EXPECT_EQ(machine->nbd.tls_directory, "certs");
  EXPECT_EQ(machine->nbd.connections_max, 8u);

  const ControllerSpec& scsi = machine->controllers[0];
  EXPECT_EQ(scsi.max_version, 0x0600);
  EXPECT_EQ(scsi.subchannels, 1u);
  EXPECT_TRUE(scsi.disks[0].read_only);
  EXPECT_TRUE(scsi.disks[0].direct);
  EXPECT_EQ(scsi.disks[0].lun, 3u);
  EXPECT_EQ(scsi.disks[0].export_name, "a");
  EXPECT_EQ(scsi.disks[1].bytes, 64u << 20);
  EXPECT_EQ(scsi.disks[1].lun, 0u);
  EXPECT_EQ(scsi.disks[1].export_name, "disk0");
  EXPECT_EQ(scsi.disks[1].block_bytes, 4096u);
  EXPECT_EQ(scsi.disks[2].kind, DiskSpec::Kind::kNbd);
  EXPECT_EQ(scsi.disks[2].lun, 1u);
  EXPECT_EQ(machine->controllers[1].kind, ControllerSpec::Kind::kIde);
  EXPECT_EQ(machine->controllers[1].disks[0].kind, DiskSpec::Kind::kNull);
  EXPECT_EQ(machine->controllers[1].disks[0].export_name, "disk2");
}

TEST(MachineTest, OnePlaceToListenNeedsNoList) {
  EXPECT_THAT(ParseMachine(R"({"nbd": {"listen": "unix:/s"}})", "m")->nbd.listen,
              ElementsAre("unix:/s"));
}

TEST(MachineTest, AMistakeIsNamedWithItsPlace) {
  EXPECT_EQ(ErrorOf("{"), "m.json: is not JSON");
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("is not an object"));
  EXPECT_EQ(ErrorOf(R"({"cpu": 2})"), "m.json: cpu is not a member that is known here");
  EXPECT_EQ(ErrorOf(R"({"cpus": 0})"), "m.json: cpus is 0, not a number from 1 to 64");
  EXPECT_EQ(ErrorOf(R"({"cpus": -1})"), "m.json: cpus is -1, not a number from 1 to 64");
  EXPECT_EQ(ErrorOf(R"({"poll": 1})"), "m.json: poll is 1, not true or false");
  EXPECT_THAT(ErrorOf(R"({"memory": "1M"})"), HasSubstr("possible are 16M to 1T"));
  EXPECT_THAT(ErrorOf(R"({"memory": []})"), HasSubstr("memory is [], not a size"));
  EXPECT_EQ(ErrorOf(R"({"controllers": {}})"), "m.json: controllers is not a list");
  EXPECT_EQ(ErrorOf(R"({"controllers": [{"type": "sata"}]})"),
            "m.json: controllers[0]: type is 'sata', not scsi, ide or fc");
  EXPECT_THAT(ErrorOf(R"({"controllers": [{"max_version": "6.1"}]})"),
              HasSubstr("there are 2.0, 4.2"));
  EXPECT_EQ(ErrorOf(R"({"controllers": [{"disks": [{"ram": "1M", "lun": 64}]}]})"),
            "m.json: controllers[0].disks[0].lun is 64, not a number from 0 to 63");
  EXPECT_THAT(ErrorOf(R"({"controllers": [{"disks": [{"ram": "1M", "file": "a"}]}]})"),
              HasSubstr("here are 2"));
  EXPECT_THAT(ErrorOf(R"({"controllers": [{"disks": [{}]}]})"), HasSubstr("here are 0"));
  EXPECT_THAT(ErrorOf(R"({"controllers": [{"disks": [{"ram": "1M", "direct": true}]}]})"),
              HasSubstr("for files only"));
  EXPECT_THAT(ErrorOf(R"({"controllers": [{"disks": [{"file": ""}]}]})"), HasSubstr("is empty"));
  EXPECT_THAT(ErrorOf(R"({"controllers": [{"disks": ["a.img"]}]})"),
              HasSubstr("disks[0] is not an object"));
  EXPECT_THAT(ErrorOf(R"({"nbd": {"listen": [1]}})"), HasSubstr("nbd.listen has 1"));
  EXPECT_THAT(ErrorOf(R"({"nbd": {"port": 1}})"), HasSubstr("nbd.port is not a member"));
}

TEST(MachineTest, WhatIsTakenTwiceIsAnError) {
  const auto complete = [](std::string_view json) {
    Machine machine = *ParseMachine(json, "m");
    return std::string(CompleteMachine(machine).message());
  };
  EXPECT_THAT(
      complete(
          R"({"controllers": [{"disks": [{"ram": "1M", "lun": 1}, {"ram": "1M", "lun": 1}]}]})"),
      HasSubstr("lun 1 is taken twice"));
  EXPECT_THAT(complete(R"({"controllers": [{"disks": [{"ram": "1M", "export": "x"}]},
                                           {"disks": [{"ram": "1M", "export": "x"}]}]})"),
              HasSubstr("exported as 'x'"));
  EXPECT_THAT(
      complete(R"({"controllers": [{"type": "ide", "disks": [{"ram": "1M"}, {"ram": "1M"}]}]})"),
      HasSubstr("an IDE channel has one disk"));
  EXPECT_THAT(complete(R"({"controllers": [{"type": "ide", "disks": [{"ram": "1M", "lun": 5}]}]})"),
              HasSubstr("the disk of an IDE channel is lun 0, not 5"));
  EXPECT_THAT(complete(R"({"controllers": [{}, {}, {}, {}, {}]})"),
              HasSubstr("5 controllers, at most 4"));
}

TEST(DiskArgumentTest, SourcesAndOptions) {
  EXPECT_EQ(ParseDisk("a.img")->source, "a.img");
  EXPECT_EQ(ParseDisk("file:ram:odd.img")->source, "ram:odd.img");
  EXPECT_EQ(ParseDisk("ram:64M")->bytes, 64u << 20);
  EXPECT_EQ(ParseDisk("null:1T")->kind, DiskSpec::Kind::kNull);
  EXPECT_EQ(ParseDisk("nbd://host/export")->source, "nbd://host/export");
  EXPECT_EQ(ParseDisk("nbd:nbd://host/export")->kind, DiskSpec::Kind::kNbd);
  const DiskSpec disk = *ParseDisk("a.img,read-only,direct,threads,lun=7,block=4096,export=x=y");
  EXPECT_TRUE(disk.read_only && disk.direct && disk.threads);
  EXPECT_EQ(disk.lun, 7u);
  EXPECT_EQ(disk.block_bytes, 4096u);
  EXPECT_EQ(disk.export_name, "x=y");
  EXPECT_EQ(disk.Text(), "a.img");
}

TEST(DiskArgumentTest, ADvdIsReadOnly) {
  const DiskSpec disk = *ParseDisk("cd.iso,dvd");
  EXPECT_TRUE(disk.dvd);
  EXPECT_TRUE(disk.read_only);
  const absl::StatusOr<Machine> machine =
      ParseMachine(R"({"controllers": [{"disks": [{"file": "cd.iso", "dvd": true}]}]})", "m");
  ASSERT_TRUE(machine.ok()) << machine.status();
  EXPECT_TRUE(machine->controllers[0].disks[0].dvd);
  EXPECT_TRUE(machine->controllers[0].disks[0].read_only);
}

TEST(DiskArgumentTest, MistakesAreNamed) {
  for (const char* wrong :
       {"", "a.img,", "a.img,lun=x", "a.img,lun=64", "a.img,size=1", "ram:", "ram:1X", "ram:100",
        "null:0", "a.img,dvd,block=4096", "a.img,block=1024", "a.img,block=0", "ram:1M,block=0",
        "ram:1M,direct"}) {
    EXPECT_FALSE(ParseDisk(wrong).ok()) << wrong;
  }
  EXPECT_THAT(std::string(ParseDisk("a.img,size=1").status().message()),
              HasSubstr("'size=1' is not read-only"));
}

TEST(PollingWarningTest, MoreThreadsThanCpus) {
  Machine machine;
  EXPECT_EQ(PollingWarning(machine, 2, 2), "");
  machine.poll = true;
  EXPECT_EQ(PollingWarning(machine, 2, 2),
            "3 threads poll (the host and the virtual processors), but there are 2 CPUs for them: "
            "they will stop each other for milliseconds");
  EXPECT_THAT(PollingWarning(machine, 1, 1), HasSubstr("there is 1 CPU for them"));
  EXPECT_EQ(PollingWarning(machine, 1, 2), "");
}

TEST(BytesTest, UnitsAndLimits) {
  EXPECT_EQ(*ParseBytes("512"), 512u);
  EXPECT_EQ(*ParseBytes("64K"), 65536u);
  EXPECT_EQ(*ParseBytes("2G"), uint64_t{2} << 30);
  EXPECT_EQ(*ParseBytes("1T"), uint64_t{1} << 40);
  for (const char* wrong :
       {"", "K", "1k", "1KB", "-1", "1.5G", "9999999999T", "99999999999999999999"}) {
    EXPECT_FALSE(ParseBytes(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace vmbuskit
