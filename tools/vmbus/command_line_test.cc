#include "tools/vmbus/command_line.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

CommandLine Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "vmbus");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

TEST(CommandLine, OfADemoWithoutOptionsHasTheDefaults) {
  const CommandLine line = Parse({"demo"});
  const DemoCommand* demo = std::get_if<DemoCommand>(&line.command);
  ASSERT_NE(demo, nullptr);
  EXPECT_FALSE(demo->once);
  EXPECT_FALSE(demo->json);
  EXPECT_EQ(demo->cpus, 0u);
  EXPECT_TRUE(demo->classes.empty());
  EXPECT_TRUE(demo->plugins.empty());
  EXPECT_EQ(demo->max_version, 0u);
  EXPECT_EQ(demo->timeout.count(), 30);
}

TEST(CommandLine, OfADemoMayHaveThemAll) {
  const CommandLine line =
      Parse({"demo", "--once", "--json", "--cpus=2", "--devices=echo,heartbeat",
             "--plugin=/dev/null", "--plugin", "/dev/zero", "--max-version=5.2", "--timeout=7"});
  const DemoCommand* demo = std::get_if<DemoCommand>(&line.command);
  ASSERT_NE(demo, nullptr) << line.error;
  EXPECT_TRUE(demo->once);
  EXPECT_TRUE(demo->json);
  EXPECT_EQ(demo->cpus, 2u);
  EXPECT_EQ(demo->classes, (std::vector<std::string>{"echo", "heartbeat"}));
  EXPECT_EQ(demo->plugins, (std::vector<std::string>{"/dev/null", "/dev/zero"}));
  EXPECT_EQ(demo->max_version, 0x00050002u);
  EXPECT_EQ(demo->timeout.count(), 7);
}

TEST(CommandLine, OfARunDescribesAMachine) {
  const CommandLine line = Parse({"run", "--host=embedded", "--disk=a.img,read-only", "--disk",
                                  "ram:64M", "--nbd=unix:a.sock", "--nbd=tcp:10809", "--cpus=2",
                                  "--memory=512M", "--poll", "--chaos=rescind:1s", "--json"});
  const RunCommand* run = std::get_if<RunCommand>(&line.command);
  ASSERT_NE(run, nullptr) << line.error;
  EXPECT_EQ(run->machine.disks, (std::vector<std::string>{"a.img,read-only", "ram:64M"}));
  EXPECT_EQ(run->machine.nbd, (std::vector<std::string>{"unix:a.sock", "tcp:10809"}));
  EXPECT_EQ(run->machine.cpus, 2u);
  EXPECT_EQ(run->machine.memory, "512M");
  EXPECT_TRUE(run->machine.poll);
  EXPECT_EQ(run->chaos, "rescind:1s");
  EXPECT_TRUE(run->json);
}

TEST(CommandLine, OfABenchOfADiskHasALoad) {
  const CommandLine defaults = Parse({"bench", "disk", "--disk=null:1G"});
  const BenchCommand* bench = std::get_if<BenchCommand>(&defaults.command);
  ASSERT_NE(bench, nullptr) << defaults.error;
  EXPECT_EQ(bench->path, "driver");
  EXPECT_EQ(bench->kind, IoPattern::Kind::kRandomRead);
  EXPECT_EQ(bench->block_bytes, 4096u);
  EXPECT_EQ(bench->depth, 1u);
  EXPECT_EQ(bench->jobs, 1u);
  EXPECT_EQ(bench->duration.count(), 10);
  EXPECT_FALSE(bench->prefill);

  const CommandLine line =
      Parse({"bench", "disk", "--disk=null:1G", "--path=backend", "--rw=write", "--bs=1M",
             "--depth=8", "--jobs=2", "--seconds=3", "--json", "--prefill"});
  bench = std::get_if<BenchCommand>(&line.command);
  ASSERT_NE(bench, nullptr) << line.error;
  EXPECT_EQ(bench->path, "backend");
  EXPECT_EQ(bench->kind, IoPattern::Kind::kWrite);
  EXPECT_EQ(bench->block_bytes, 1u << 20);
  EXPECT_EQ(bench->depth, 8u);
  EXPECT_EQ(bench->jobs, 2u);
  EXPECT_EQ(bench->duration.count(), 3);
  EXPECT_TRUE(bench->json);
  EXPECT_TRUE(bench->prefill);
}

TEST(CommandLine, OfAnInspectHasAPath) {
  const CommandLine line = Parse({"inspect", "guest/devices", "--json", "--pid=12"});
  const InspectCommand* inspect = std::get_if<InspectCommand>(&line.command);
  ASSERT_NE(inspect, nullptr);
  EXPECT_EQ(inspect->path, "guest/devices");
  EXPECT_TRUE(inspect->json);
  EXPECT_EQ(inspect->pid, 12);
  const CommandLine bare = Parse({"inspect"});
  ASSERT_NE(std::get_if<InspectCommand>(&bare.command), nullptr);
  EXPECT_EQ(std::get<InspectCommand>(bare.command).pid, std::nullopt);
}

TEST(CommandLine, OfAListMayAskForJson) {
  const CommandLine line = Parse({"ls", "--json"});
  ASSERT_NE(std::get_if<ListCommand>(&line.command), nullptr);
  EXPECT_TRUE(std::get<ListCommand>(line.command).json);
}

TEST(CommandLine, AsksForHelpAndVersion) {
  for (std::vector<const char*> arguments : std::vector<std::vector<const char*>>{
           {"--help"}, {"demo", "--help"}, {"ls", "-h"}, {"inspect", "--help"}}) {
    const CommandLine line = Parse(arguments);
    EXPECT_EQ(line.command.index(), 0u);
    EXPECT_EQ(line.exit_code, 0);
    EXPECT_NE(line.output.find("Usage: vmbus"), std::string::npos) << line.output;
    EXPECT_EQ(line.error, "");
  }
  EXPECT_NE(Parse({"demo", "--help"}).output.find("--max-version VERSION"), std::string::npos);
  EXPECT_EQ(Parse({"--version"}).output, "vmbus 1.0.0 (vmbuskit)\n");
}

TEST(CommandLine, WithAMistakeSaysSoInOneLine) {
  struct Mistake {
    std::vector<const char*> arguments;
    const char* error;
  };
  const Mistake mistakes[] = {
      {{}, "vmbus: which command? demo, run, bench, ls or inspect; see vmbus --help\n"},
      {{"bogus"}, "vmbus: The following argument was not expected: bogus; see vmbus --help\n"},
      {{"demo", "--cpus=0"},
       "vmbus demo: --cpus: Value 0 not in range 1 to 64; see vmbus demo --help\n"},
      {{"demo", "--max-version=7.0"},
       "vmbus demo: --max-version: '7.0' is not a version of the bus; there are 6.0, 5.3, 5.2, "
       "5.1, "
       "5.0, 4.1, 4.0, 3.0, 2.4; see vmbus demo --help\n"},
      {{"demo", "--plugin=/nowhere/x.so"},
       "vmbus demo: --plugin: File does not exist: /nowhere/x.so; see vmbus demo --help\n"},
      {{"bench", "disk", "--rw=sideways"},
       "vmbus bench: --rw: 'sideways' is not read, write, randread, randwrite or randrw; see vmbus "
       "bench --help\n"},
      {{"bench", "disk", "--bs=700"},
       "vmbus bench: --bs: '700' is not a multiple of 512 from 512 to 64M; see vmbus bench "
       "--help\n"},
      {{"ls", "--pid=0"},
       "vmbus ls: --pid: Value 0 not in range 1 to 2147483647; see vmbus ls --help\n"},
      {{"inspect", "a", "b"},
       "vmbus inspect: The following argument was not expected: b; see vmbus inspect --help\n"},
  };
  for (const Mistake& mistake : mistakes) {
    const CommandLine line = Parse(mistake.arguments);
    EXPECT_EQ(line.error, mistake.error);
    EXPECT_EQ(line.exit_code, kExitUsage);
    EXPECT_EQ(line.command.index(), 0u);
    EXPECT_EQ(line.output, "");
  }
}

TEST(CommandLine, WithALineBreakInAnArgumentStillErrsInOneLine) {
  const CommandLine line = Parse({"demo", "two\nlines\n"});
  EXPECT_EQ(std::ranges::count(line.error, '\n'), 1);
}

}  // namespace
}  // namespace vmbuskit
