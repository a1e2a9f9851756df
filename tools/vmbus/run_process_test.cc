// The real `vmbus run` and `vmbus bench disk`, with real clients where they are installed.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "devices/storvsc/export/nbd_testing.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tools/vmbus/process_testing.h"

namespace vmbuskit {
namespace {

using Json = nlohmann::json;

constexpr char kVmbus[] = "tools/vmbus";
constexpr char kStopped[] = "vmbus run: stopped; 0 pages are still shared with the host\n";

struct Ended {
  int exit_code = 0;
  std::string out;
  std::string err;
};

class RunTest : public testing::Test {
 protected:
  void SetUp() override {
    // Not the test's own folder: the path of a socket has to be short.
    std::string name = std::string(P_tmpdir) + "/vmbusXXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    setenv("XDG_RUNTIME_DIR", folder_.c_str(), 1);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::string MakeImage(const std::string& name, size_t bytes) const {
    std::string contents(bytes, '\0');
    for (size_t i = 0; i < bytes; ++i) contents[i] = static_cast<char>(i * 31 + i / 4096);
    std::ofstream(Path(name), std::ios::binary) << contents;
    return Path(name);
  }
  static std::string ReadFile(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static Ended RunToEnd(std::vector<std::string> arguments) {
    ChildProcess process(arguments);
    const int exit_code = process.Wait();
    return {exit_code, process.out(), process.err()};
  }
  static std::vector<std::string> Vmbus(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kVmbus);
    return arguments;
  }
  std::string Socket() const { return "--nbd=unix:" + Path("d.sock"); }
  std::string Uri(const std::string& name) const {
    return "nbd+unix:///" + name + "?socket=" + Path("d.sock");
  }

  std::string folder_;
};

TEST_F(RunTest, ServesUntilCtrlC) {
  const std::string image = MakeImage("a.img", 1 << 20);
  ChildProcess run(Vmbus({"run", "--disk=" + image, "--disk=ram:4M,export=scratch", Socket()}));
  ASSERT_TRUE(run.WaitForOutput(Uri("scratch"))) << run.err();
  EXPECT_NE(run.out().find("\ndisk0 "), std::string::npos) << run.out();
  EXPECT_NE(run.out().find(Uri("disk0")), std::string::npos);

  const Ended list = RunToEnd(Vmbus({"ls"}));
  EXPECT_NE(list.out.find("\nstorvsc "), std::string::npos) << list.out << list.err;

  const Ended inside = RunToEnd(Vmbus({"inspect", "nbd", "--json"}));
  const Json nbd = Json::parse(inside.out, nullptr, false);
  ASSERT_TRUE(nbd.is_object()) << inside.out << inside.err;
  EXPECT_EQ(nbd["connections_in_all"], 0);
  EXPECT_EQ(nbd["refused"], 0);
  EXPECT_EQ(nbd["export disk0"]["requests"], 0);
  EXPECT_EQ(nbd["export scratch"]["errors"], 0);
  const Ended ends = RunToEnd(Vmbus({"inspect", "back_ends/disk0", "--json"}));
  EXPECT_NE(ends.out.find("a.img"), std::string::npos) << ends.out << ends.err;

  const Ended locked = RunToEnd(Vmbus({"run", "--disk=" + image, "--nbd=tcp:0"}));
  EXPECT_EQ(locked.exit_code, 1);
  EXPECT_NE(locked.err.find("a.img: locked by somebody"), std::string::npos) << locked.err;

  const Ended taken = RunToEnd(Vmbus({"run", "--disk=ram:1M", Socket()}));
  EXPECT_EQ(taken.exit_code, 1);
  EXPECT_NE(taken.err.find("d.sock: somebody listens there"), std::string::npos) << taken.err;

  run.Signal(SIGINT);
  EXPECT_EQ(run.Wait(), 0) << run.err();
  EXPECT_EQ(run.err(), "");
  EXPECT_TRUE(run.out().ends_with(kStopped)) << run.out();
  EXPECT_FALSE(std::filesystem::exists(Path("d.sock")));
}

// The threads of a file exist before the session does: a signal must not find one of them.
TEST_F(RunTest, AFileOnThreadsIsLetGoOfToo) {
  const std::string image = MakeImage("a.img", 1 << 20);
  for (const int signal : {SIGINT, SIGTERM}) {
    ChildProcess run(Vmbus({"run", "--disk=" + image + ",threads", Socket()}));
    ASSERT_TRUE(run.WaitForOutput(Uri("disk0"))) << run.err();
    run.Signal(signal);
    EXPECT_EQ(run.Wait(), 0) << run.err();
    EXPECT_TRUE(run.out().ends_with(kStopped)) << run.out();
  }
}

TEST_F(RunTest, ClientsReadAndWriteWhileTheControllerComesAndGoes) {
  if (!std::filesystem::exists("/usr/bin/nbdcopy")) GTEST_SKIP() << "nbdcopy is not installed";
  const std::string image = MakeImage("a.img", 16 << 20);
  ChildProcess run(Vmbus({"run", "--disk=" + image, "--disk=ram:16M,export=scratch", Socket(),
                          "--chaos=rescind:100ms,hotplug:70ms"}));
  ASSERT_TRUE(run.WaitForOutput(Uri("scratch"))) << run.err();
  const Ended over = RunToEnd({"/usr/bin/nbdcopy", Uri("disk0"), Uri("scratch")});
  EXPECT_EQ(over.exit_code, 0) << over.err;
  const Ended back = RunToEnd({"/usr/bin/nbdcopy", Uri("scratch"), Path("b.img")});
  EXPECT_EQ(back.exit_code, 0) << back.err;
  run.Signal(SIGTERM);
  EXPECT_EQ(run.Wait(), 0) << run.err();
  EXPECT_TRUE(ReadFile(Path("b.img")) == ReadFile(image));
}

// A client by hand, with simple replies, that need not take what it asked for.
class RawClient {
 public:
  explicit RawClient(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    const timeval patience = {.tv_sec = 40, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~RawClient() { close(fd_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool Go(const std::string& name) {
    Send(Wire().Flags(3).Option(nbd::kOptGo, GoData(name)));
    return connected_ && Receive(sizeof(nbd::Greeting) + 3 * 20 + 12 + 14).size() == 104;
  }
  void Send(const Wire& wire) {
    (void)send(fd_, wire.bytes().data(), wire.bytes().size(), MSG_NOSIGNAL);
  }
  std::vector<std::byte> Receive(size_t bytes) {
    std::vector<std::byte> received(bytes);
    const ssize_t count = recv(fd_, received.data(), bytes, MSG_WAITALL);
    received.resize(count < 0 ? 0 : static_cast<size_t>(count));
    return received;
  }
  bool Read(uint64_t offset, uint32_t bytes) {
    Send(Wire().Request(nbd::kCmdRead, 7, offset, bytes));
    const auto reply = Receive(sizeof(nbd::SimpleReply));
    return Replies(reply).TakeSimple() == Replies::Simple{0, 7} && Receive(bytes).size() == bytes;
  }

 private:
  const int fd_;
  bool connected_ = false;
};

// They ask for more than there is memory, and take nothing.
TEST_F(RunTest, GreedyClientsLeaveMemoryForOthersAndForTheNextController) {
  ChildProcess run(Vmbus(
      {"run", "--disk=ram:64M", Socket(), "--memory=64M", "--cpus=1", "--chaos=rescind:300ms"}));
  ASSERT_TRUE(run.WaitForOutput(Uri("disk0"))) << run.err();
  std::deque<RawClient> greedy;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(greedy.emplace_back(Path("d.sock")).Go("disk0"));
    Wire wire;
    for (const uint32_t bytes : {32u << 20, 2u << 20, 1u << 20, 1u << 20, 512u << 10, 64u << 10}) {
      wire.Request(nbd::kCmdRead, bytes, 0, bytes);
    }
    greedy.back().Send(wire);
    ASSERT_EQ(greedy.back().Receive(sizeof(nbd::SimpleReply)).size(), sizeof(nbd::SimpleReply));
  }
  RawClient modest(Path("d.sock"));
  ASSERT_TRUE(modest.Go("disk0"));
  for (uint64_t i = 0; i < 20'000; ++i) ASSERT_TRUE(modest.Read(i % 512 * 4096, 4096)) << i;
  ASSERT_TRUE(modest.Read(0, 1 << 20)) << "a part of it that every program may count on";
  greedy.clear();
  run.Signal(SIGTERM);
  EXPECT_EQ(run.Wait(), 0) << run.err();
  EXPECT_EQ(run.out().find("chaos: 0 rescinds"), std::string::npos) << run.out();
}

TEST_F(RunTest, AMachineFileTellsAProgramInJson) {
  std::ofstream(Path("m.json")) << R"({"cpus": 2, "controllers": [
      {"type": "scsi", "subchannels": 1, "disks": [{"ram": "1M"}, {"null": "1G", "lun": 5}]},
      {"type": "ide", "disks": [{"ram": "2M", "read_only": true, "export": "boot"}]}]})";
  ChildProcess run(Vmbus({"run", "--machine=" + Path("m.json"), Socket(), "--json"}));
  ASSERT_TRUE(run.WaitForOutput("\"boot\"")) << run.err();
  run.Signal(SIGTERM);
  EXPECT_EQ(run.Wait(), 0) << run.err();
  const std::string last = run.out().substr(run.out().rfind('\n', run.out().size() - 2) + 1);
  const Json boot = Json::parse(last, nullptr, false);
  ASSERT_TRUE(boot.is_object()) << run.out();
  EXPECT_EQ(boot["disk"], "boot");
  EXPECT_EQ(boot["bytes"], 2 << 20);
  EXPECT_EQ(boot["read_only"], true);
  EXPECT_EQ(boot["uris"], Json::array({Uri("boot")}));
}

TEST_F(RunTest, WhatCannotBeServedIsNamed) {
  MakeImage("empty.img", 0);
  struct Case {
    std::vector<std::string> arguments;
    int exit_code;
    std::string error;
  };
  const Case cases[] = {
      {{"run", "--disk=" + Path("none.img"), Socket()}, 1, "none.img: cannot be found"},
      {{"run", "--disk=" + Path("empty.img"), Socket()}, 1, "empty.img: has only 0 bytes"},
      {{"run", "--disk=ram:1M"}, 2, "nobody could reach the disks; say where with --nbd"},
      {{"run", "--disk=ram:1M", "--nbd=nowhere"}, 2, "'nowhere'"},
      {{"run", Socket()}, 2, "there is no disk"},
      {{"run", "--disk=ram:1M", Socket(), "--chaos=x"}, 2, "'x' is not rescind:TIME"},
      {{"run", "--disk=ram:1M", "--nbd=tcp:0.0.0.0:0"}, 1, "TLS"},
  };
  for (const Case& one : cases) {
    const Ended ended = RunToEnd(Vmbus(one.arguments));
    EXPECT_EQ(ended.exit_code, one.exit_code) << ended.err;
    EXPECT_NE(ended.err.find(one.error), std::string::npos) << ended.err;
  }
}

TEST_F(RunTest, AnImageInADvdDriveIsServedReadOnly) {
  const std::string image = MakeImage("cd.iso", 1 << 20);
  ChildProcess run(Vmbus({"run", "--disk=" + image + ",dvd,export=cd", "--json", Socket()}));
  ASSERT_TRUE(run.WaitForOutput(Uri("cd"))) << run.err();
  const Json line = Json::parse(run.out(), nullptr, false);
  ASSERT_TRUE(line.is_object()) << run.out();
  EXPECT_EQ(line["block_size"], 2048);
  EXPECT_EQ(line["bytes"], 1 << 20);
  EXPECT_EQ(line["read_only"], true);
  run.Signal(SIGINT);
  EXPECT_EQ(run.Wait(), 0);
  const Ended bench = RunToEnd(
      Vmbus({"bench", "disk", "--disk=" + image + ",dvd", "--bs=2K", "--seconds=1", "--json"}));
  EXPECT_EQ(bench.exit_code, 0) << bench.err;
  const Ended write =
      RunToEnd(Vmbus({"bench", "disk", "--disk=" + image + ",dvd", "--bs=2K", "--rw=write"}));
  EXPECT_EQ(write.exit_code, 1);
  EXPECT_NE(write.err.find("the disk is read-only"), std::string::npos) << write.err;
}

TEST_F(RunTest, BenchMeasuresBothPaths) {
  for (const char* path : {"driver", "backend"}) {
    const Ended bench =
        RunToEnd(Vmbus({"bench", "disk", "--disk=ram:4M", "--rw=randrw", "--depth=4", "--jobs=2",
                        "--seconds=1", "--json", std::string("--path=") + path}));
    EXPECT_EQ(bench.exit_code, 0) << bench.err;
    const Json json = Json::parse(bench.out, nullptr, false);
    ASSERT_TRUE(json.is_object()) << bench.out;
    EXPECT_EQ(json["path"], path);
    EXPECT_GT(json["read"]["operations"], 0);
    EXPECT_GT(json["write"]["operations"], 0);
    EXPECT_GE(json["read"]["latency_ns"]["max"], json["read"]["latency_ns"]["p50"]);
  }
  const Ended wrong = RunToEnd(Vmbus({"bench", "disk", "--disk=ram:4M,block=4096", "--bs=512"}));
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_NE(wrong.err.find("--bs is 512"), std::string::npos) << wrong.err;
}

TEST_F(RunTest, BenchWritesTheWholeDiskBeforeWhenAsked) {
  constexpr size_t kSector = 512;
  constexpr size_t kBytes = (2 << 20) + 5 * kSector;  // no multiple of anything large
  const std::string image = Path("zeros.img");
  std::ofstream(image, std::ios::binary) << std::string(kBytes, '\0');
  const Ended bench = RunToEnd(
      Vmbus({"bench", "disk", "--disk=" + image, "--rw=read", "--prefill", "--seconds=1"}));
  EXPECT_EQ(bench.exit_code, 0) << bench.err;
  EXPECT_NE(bench.out.find("filled before"), std::string::npos) << bench.out;
  const std::string contents = ReadFile(image);
  ASSERT_EQ(contents.size(), kBytes);
  for (size_t at = 0; at < kBytes; at += kSector) {
    EXPECT_NE(contents.substr(at, kSector), std::string(kSector, '\0')) << at;
  }
  const Ended refused =
      RunToEnd(Vmbus({"bench", "disk", "--disk=" + image + ",ro", "--prefill", "--seconds=1"}));
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("the disk is read-only"), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace vmbuskit
