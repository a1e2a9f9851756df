// The real `vmbus` and the real products, as processes.
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tools/vmbus/process_testing.h"

namespace vmbuskit {
namespace {

using Json = nlohmann::json;

constexpr char kVmbus[] = "tools/vmbus";
constexpr char kEchoPlugin[] = "devices/echo/echo_plugin.so";
constexpr char kWrongPlugin[] = "tools/wrong_version_plugin.so";
constexpr char kHeartbeatOnly[] = "products/heartbeat_only/heartbeat_only";
constexpr char kFull[] = "products/full/full";
constexpr char kStopped[] = "stopped; 0 pages are still shared with the host\n";

// A folder of its own for sockets, so that nobody else's demo is seen.
class VmbusTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/vmbusXXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    setenv("XDG_RUNTIME_DIR", folder_.c_str(), 1);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::vector<std::string> Vmbus(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kVmbus);
    return arguments;
  }

  // `class` runs and has had packets both ways, says the last table of `out`.
  static void ExpectHasRun(const std::string& out, const std::string& device_class) {
    const size_t line_start = out.rfind("\n" + device_class + " ");
    ASSERT_NE(line_start, std::string::npos) << out;
    std::istringstream line(out.substr(line_start + 1));
    std::string name, relid, state, cpu;
    int channels = 0;
    uint64_t packets_in = 0;
    uint64_t packets_out = 0;
    line >> name >> relid >> state >> cpu >> channels >> packets_in >> packets_out;
    EXPECT_EQ(state, "running") << out;
    EXPECT_EQ(channels, 1) << out;
    EXPECT_GT(packets_in, 0u) << out;
    EXPECT_GT(packets_out, 0u) << out;
  }

  std::string folder_;
};

struct Ended {
  int exit_code = 0;
  std::string out;
  std::string err;
};

Ended RunToEnd(const std::vector<std::string>& arguments) {
  ChildProcess process(arguments);
  const int exit_code = process.Wait();
  return {exit_code, process.out(), process.err()};
}

TEST_F(VmbusTest, DemoOnceRunsEveryClass) {
  for (const char* cpus : {"--cpus=1", "--cpus=2", "--cpus=4"}) {
    const Ended demo = RunToEnd(Vmbus({"demo", "--once", cpus}));
    EXPECT_EQ(demo.exit_code, 0) << demo.err;
    EXPECT_EQ(demo.err, "");
    ExpectHasRun(demo.out, "echo");
    ExpectHasRun(demo.out, "heartbeat");
    EXPECT_TRUE(demo.out.ends_with(std::string("vmbus demo: ") + kStopped)) << demo.out;
  }
}

TEST_F(VmbusTest, DemoReadsAFileSystemBackAndLeavesNothingBehind) {
  for (const char* program : {"/usr/sbin/mke2fs", "/usr/sbin/e2fsck"}) {
    if (!std::filesystem::exists(program)) GTEST_SKIP() << program << " is not installed";
  }
  setenv("TMPDIR", folder_.c_str(), 1);
  const Ended demo = RunToEnd(Vmbus({"demo", "--once"}));
  EXPECT_EQ(demo.exit_code, 0) << demo.err;
  EXPECT_EQ(
      demo.out.find("vmbus demo: the storage controller has a disk of 8 MiB with an ext4 file "
                    "system of 3 files, made by mke2fs\n"),
      0u)
      << demo.out;
  EXPECT_NE(demo.out.find("vmbus demo: the guest read its file system through storvsc: the same "
                          "8388608 bytes, and e2fsck finds nothing wrong\n"),
            std::string::npos)
      << demo.out;
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  unsetenv("TMPDIR");
}

TEST_F(VmbusTest, DemoGoesOnWithoutAFileSystemWhereNoneCanBeMade) {
  setenv("TMPDIR", "/nowhere", 1);
  const Ended demo = RunToEnd(Vmbus({"demo", "--once"}));
  unsetenv("TMPDIR");
  EXPECT_EQ(demo.exit_code, 0) << demo.err;
  EXPECT_EQ(demo.out.find("vmbus demo: goes on with an empty disk: "), 0u) << demo.out;
  EXPECT_NE(demo.out.find("\nstorvsc "), std::string::npos) << demo.out;
  EXPECT_TRUE(demo.out.ends_with(kStopped)) << demo.out;
}

TEST_F(VmbusTest, DemoOnceTellsAProgramInJson) {
  const Ended demo = RunToEnd(Vmbus({"demo", "--once", "--json", "--max-version=4.0"}));
  EXPECT_EQ(demo.exit_code, 0) << demo.err;
  const Json document = Json::parse(demo.out, nullptr, false);
  ASSERT_TRUE(document.is_object()) << demo.out;
  std::set<std::string> running;
  for (const Json& device : document["devices"]) {
    if (device["state"] == "running") running.insert(device["class"]);
    EXPECT_GT(device["packets_in"], 0);
    EXPECT_GT(device["packets_out"], 0);
    EXPECT_NE(device["versions"], "");
  }
  EXPECT_EQ(running, (std::set<std::string>{"echo", "heartbeat", "storvsc"}));
  EXPECT_TRUE(demo.err.ends_with(std::string("vmbus demo: ") + kStopped)) << demo.err;
}

TEST_F(VmbusTest, DemoRunsOnlyTheNamedClasses) {
  const Ended demo = RunToEnd(Vmbus({"demo", "--once", "--devices=echo"}));
  EXPECT_EQ(demo.exit_code, 0) << demo.err;
  ExpectHasRun(demo.out, "echo");
  EXPECT_EQ(demo.out.find("heartbeat"), std::string::npos);
}

TEST_F(VmbusTest, DemoCanBeAskedAndEndsWithCtrlC) {
  ChildProcess demo(Vmbus({"demo", "--max-version=5.2"}));
  ASSERT_TRUE(demo.WaitForOutput("\necho")) << demo.err();
  EXPECT_EQ(demo.out().find("vmbus demo: process " + std::to_string(demo.pid())), 0u);

  const Ended json = RunToEnd(Vmbus({"ls", "--json"}));
  EXPECT_EQ(json.exit_code, 0) << json.err;
  EXPECT_EQ(Json::parse(json.out, nullptr, false)["devices"].size(), 3u) << json.out;

  const Ended table = RunToEnd(Vmbus({"ls"}));
  EXPECT_EQ(table.out.find("CLASS "), 0u) << table.out;
  EXPECT_NE(table.out.find("\nheartbeat "), std::string::npos);

  const Ended tree = RunToEnd(Vmbus({"inspect", "--json"}));
  const Json root = Json::parse(tree.out, nullptr, false);
  ASSERT_TRUE(root.is_object()) << tree.out << tree.err;
  EXPECT_EQ(root["guest"]["version"], "5.2");
  EXPECT_EQ(root["guest"]["device_count"], 3);
  EXPECT_TRUE(root["host"]["partition"].is_object());
  EXPECT_TRUE(root["host"]["server"].is_object());

  const Ended part = RunToEnd(Vmbus({"inspect", "host/partition"}));
  EXPECT_EQ(part.exit_code, 0);
  EXPECT_EQ(part.out.find("vp_count: "), 0u) << part.out;

  const Ended unknown = RunToEnd(Vmbus({"inspect", "host/nothing"}));
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_EQ(
      unknown.err.find("vmbus inspect: there is no 'host/nothing'; host has partition, server"), 0u)
      << unknown.err;

  demo.Signal(SIGINT);
  EXPECT_EQ(demo.Wait(), 0) << demo.err();
  EXPECT_EQ(demo.err(), "");
  EXPECT_TRUE(demo.out().ends_with(std::string("vmbus demo: ") + kStopped)) << demo.out();
  EXPECT_EQ(RunToEnd(Vmbus({"ls"})).exit_code, 2) << "nobody is there any more";
}

TEST_F(VmbusTest, TwoDemosAreToldApart) {
  ChildProcess first(Vmbus({"demo", "--devices=echo"}));
  ChildProcess second(Vmbus({"demo", "--devices=heartbeat"}));
  ASSERT_TRUE(first.WaitForOutput("process") && second.WaitForOutput("process"));
  const Ended ambiguous = RunToEnd(Vmbus({"ls"}));
  EXPECT_EQ(ambiguous.exit_code, 2);
  const auto [low, high] = std::minmax({first.pid(), second.pid()});
  EXPECT_EQ(ambiguous.err, "vmbus ls: several instances run; choose one with --pid: " +
                               std::to_string(low) + ", " + std::to_string(high) + "\n");
  const Ended chosen = RunToEnd(Vmbus({"ls", "--pid=" + std::to_string(first.pid())}));
  EXPECT_NE(chosen.out.find("6563686f-0002-4000-8000-766d6275736b"), std::string::npos)
      << chosen.out << chosen.err;
  EXPECT_EQ(chosen.out.find("fd149e91"), std::string::npos);
  first.Signal(SIGTERM);
  EXPECT_EQ(first.Wait(), 0);
  second.Signal(SIGINT);
  EXPECT_EQ(second.Wait(), 0);
}

TEST_F(VmbusTest, WhatAKilledDemoLeftIsClearedAway) {
  {
    ChildProcess demo(Vmbus({"demo"}));
    ASSERT_TRUE(demo.WaitForOutput("process"));
  }  // killed without a chance to clean up
  const std::string sockets = folder_ + "/vmbuskit-" + std::to_string(getuid());
  EXPECT_FALSE(std::filesystem::is_empty(sockets));
  const Ended list = RunToEnd(Vmbus({"ls"}));
  EXPECT_EQ(list.exit_code, 2);
  EXPECT_EQ(list.err, "vmbus ls: nothing runs; start `vmbus demo` first\n");
  EXPECT_TRUE(std::filesystem::is_empty(sockets));
}

TEST_F(VmbusTest, DemoRunsOnWhereItCannotBeAsked) {
  const std::string sockets = folder_ + "/vmbuskit-" + std::to_string(getuid());
  ASSERT_EQ(mkdir(sockets.c_str(), 0700), 0);
  ASSERT_EQ(chmod(sockets.c_str(), 0777), 0);
  ChildProcess demo(Vmbus({"demo"}));
  ASSERT_TRUE(demo.WaitForOutput("\nheartbeat")) << demo.out();
  EXPECT_EQ(demo.out().find("vmbus demo: cannot be asked by `vmbus ls`: " + sockets), 0u)
      << demo.out();
  demo.Signal(SIGINT);
  EXPECT_EQ(demo.Wait(), 0);
}

TEST_F(VmbusTest, AWrongCommandLineIsOneLineAndExitCode2) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"bogus"},
      {"demo", "--bogus"},
      {"demo", "--cpus=0"},
      {"demo", "--devices=floppy"},
      {"demo", "--max-version=9.9"},
      {"demo", "--plugin=/nowhere.so"},
      {"demo", "--plugin=tools/vmbus"},
      {"ls", "--pid=x"},
      {"inspect", "a", "b"},
      {"ls"},
      {"inspect"},
      {"ls", "--pid=1"},
  };
  for (const std::vector<std::string>& arguments : wrong) {
    const Ended ended = RunToEnd(Vmbus(arguments));
    std::string line;
    for (const std::string& argument : arguments) line += argument + " ";
    EXPECT_EQ(ended.exit_code, 2) << line;
    EXPECT_EQ(ended.out, "") << line;
    EXPECT_EQ(std::ranges::count(ended.err, '\n'), 1) << line << ended.err;
    EXPECT_EQ(ended.err.find("vmbus"), 0u) << line << ended.err;
  }
}

TEST_F(VmbusTest, HelpIsThereForEveryCommand) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--help"},
                                             {"demo", "--help"},
                                             {"ls", "--help"},
                                             {"inspect", "--help"},
                                             {"--version"}}) {
    const Ended ended = RunToEnd(Vmbus(arguments));
    EXPECT_EQ(ended.exit_code, 0);
    EXPECT_EQ(ended.err, "");
    EXPECT_NE(ended.out.find("vmbus"), std::string::npos);
  }
}

TEST_F(VmbusTest, APluginStandsInForTheBuiltInClass) {
  const Ended demo = RunToEnd(
      Vmbus({"demo", "--once", "--devices=heartbeat", std::string("--plugin=") + kEchoPlugin}));
  EXPECT_EQ(demo.exit_code, 0) << demo.err;
  ExpectHasRun(demo.out, "echo");
  ExpectHasRun(demo.out, "heartbeat");
  EXPECT_TRUE(demo.out.ends_with(kStopped)) << demo.out;
}

TEST_F(VmbusTest, APluginOfAnotherVersionIsRefused) {
  const Ended demo = RunToEnd(Vmbus({"demo", std::string("--plugin=") + kWrongPlugin}));
  EXPECT_EQ(demo.exit_code, 2);
  EXPECT_NE(demo.err.find("the plugin is too new: it has ABI version"), std::string::npos)
      << demo.err;
  EXPECT_EQ(std::ranges::count(demo.err, '\n'), 1);
}

TEST_F(VmbusTest, APluginDoesNotShadowABuiltInClass) {
  const Ended demo = RunToEnd(Vmbus({"demo", std::string("--plugin=") + kEchoPlugin}));
  EXPECT_EQ(demo.exit_code, 2);
  EXPECT_EQ(demo.err.find("vmbus demo: class 'echo' of plugin"), 0u) << demo.err;
}

TEST_F(VmbusTest, ProductsRunTheirClasses) {
  const Ended small = RunToEnd({kHeartbeatOnly, "--once"});
  EXPECT_EQ(small.exit_code, 0) << small.err;
  ExpectHasRun(small.out, "heartbeat");
  EXPECT_EQ(small.out.find("echo"), std::string::npos);
  const Ended full = RunToEnd({kFull, "--once"});
  EXPECT_EQ(full.exit_code, 0) << full.err;
  ExpectHasRun(full.out, "echo");
  ExpectHasRun(full.out, "heartbeat");
}

TEST_F(VmbusTest, AProductEndsWithCtrlC) {
  ChildProcess product({kHeartbeatOnly});
  ASSERT_TRUE(product.WaitForOutput(" running ")) << product.out();
  product.Signal(SIGINT);
  EXPECT_EQ(product.Wait(), 0) << product.err();
  EXPECT_TRUE(product.out().ends_with(std::string("heartbeat_only: ") + kStopped));
}

TEST_F(VmbusTest, TheSmallestProductLinksOnlyTheLanguagesLibraries) {
  const std::set<std::string> allowed = {
      "libstdc++.so.6",       "libm.so.6",
      "libgcc_s.so.1",        "libc.so.6",
      "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1",  // the loader itself: thread-local variables
      "libasan.so.8",         "libubsan.so.1",
      "libtsan.so.2"};  // in tests under a sanitizer
  const Ended readelf = RunToEnd({"/usr/bin/readelf", "-d", kHeartbeatOnly});
  ASSERT_EQ(readelf.exit_code, 0) << readelf.err;
  int found = 0;
  for (size_t at = 0; (at = readelf.out.find("Shared library: [", at)) != std::string::npos;) {
    at = readelf.out.find('[', at) + 1;
    const std::string library = readelf.out.substr(at, readelf.out.find(']', at) - at);
    EXPECT_TRUE(allowed.contains(library)) << library;
    ++found;
  }
  EXPECT_GE(found, 2);
}

}  // namespace
}  // namespace vmbuskit
