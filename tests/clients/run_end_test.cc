// How a run ends and what it says when something goes wrong: no write that was acknowledged is lost.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/clients/run_testing.h"

namespace vmbuskit {
namespace {

using nlohmann::json;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

constexpr size_t kBlock = 4096;
constexpr size_t kBlocks = 2048;

// Writes again and again over `blocks` blocks, 16 at a time, until the connection ends; each write fills a block with
// its number. Prints for each block the number of the last write that was acknowledged, and of the last one begun.
constexpr char kWriter[] = R"(
import json, struct
block, blocks = 4096, 2048
acknowledged, begun = [0] * blocks, [0] * blocks
state = {'in flight': 0, 'done': 0}
def submit(number):
    at = number % blocks
    data = nbd.Buffer.from_bytearray(bytearray(struct.pack('<Q', number) * (block // 8)))
    def ended(error):
        state['in flight'] -= 1
        if error.value == 0:
            acknowledged[at] = number
            state['done'] += 1
        return 1
    begun[at] = number
    state['in flight'] += 1
    h.aio_pwrite(data, at * block, completion=ended)
number, told = 1, False
try:
    while True:
        while state['in flight'] < 16:
            submit(number)
            number += 1
        h.poll(-1)
        if state['done'] > blocks + 500 and not told:
            told = True
            print('writing', flush=True)
except nbd.Error:
    pass
print(json.dumps({'acknowledged': acknowledged, 'begun': begun}))
)";

struct Ending {
  const char* name;
  int signal;
  const char* engine;
  const char* option;
};

class RunEnd : public testing::TestWithParam<Ending> {};

TEST_P(RunEnd, InTheMiddleOfWritesLosesNoneThatWasAcknowledged) {
  VMBUSKIT_NEEDS_PROGRAM("nbdsh");
  TemporaryFolder folder;
  const std::string image = folder.path() + "/image";
  MakeSparseFile(image, kBlock * kBlocks);
  VmbusRun run({"--disk=" + image + GetParam().engine, "--cpus=2", GetParam().option});
  ASSERT_TRUE(run.serving()) << run.err();
  ChildProcess client({FindProgram("nbdsh"), "-u", run.Uri(), "-c", kWriter}, kClientPatienceMs);
  ASSERT_TRUE(client.WaitForOutput("writing\n")) << client.err();
  EXPECT_EQ(run.Stop(GetParam().signal), 0) << run.err();
  EXPECT_THAT(run.err(), EndsWith(VmbusRun::kStopped));
  EXPECT_EQ(client.Wait(), 0) << client.err();

  const json told = json::parse(client.out().substr(client.out().find('{')), nullptr, false);
  ASSERT_TRUE(told.is_object()) << client.out();
  std::ifstream file(image, std::ios::binary);
  std::vector<uint64_t> words(kBlock / sizeof(uint64_t));
  for (size_t block = 0; block < kBlocks; ++block) {
    file.read(reinterpret_cast<char*>(words.data()), kBlock);
    const uint64_t found = words.front();
    EXPECT_GE(found, told["acknowledged"][block].get<uint64_t>()) << "block " << block;
    EXPECT_LE(found, told["begun"][block].get<uint64_t>()) << "block " << block;
    EXPECT_EQ(std::ranges::count(words, found), static_cast<ptrdiff_t>(words.size()))
        << "block " << block;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Signals, RunEnd,
    testing::Values(
        Ending{"CtrlC", SIGINT, "", "--memory=1G"}, Ending{"Term", SIGTERM, "", "--memory=1G"},
        Ending{"TermWithThreads", SIGTERM, ",threads", "--memory=1G"},
        Ending{"CtrlCWhileTheControllerComesAndGoes", SIGINT, "", "--chaos=rescind:50ms"},
        Ending{"TermWhileDisksComeAndGo", SIGTERM, "", "--chaos=rescind:70ms,hotplug:30ms"}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(RunEndTwice, ASecondCtrlCDoesNotWaitForABackEndThatDoesNotAnswer) {
  VMBUSKIT_NEEDS_PROGRAM("nbdsh");
  VMBUSKIT_NEEDS_PROGRAM("nbdkit");
  VMBUSKIT_NEEDS_PROGRAM("nbdinfo");
  NbdkitProcess nbdkit({"--filter=delay", "memory", "1M", "delay-write=1000"});
  ASSERT_EQ(nbdkit.started().code, 0) << nbdkit.started().err;
  VmbusRun run({"--disk=nbd:" + nbdkit.Uri()});
  ASSERT_TRUE(run.serving()) << run.err();
  // The read is answered after the write has arrived.
  ChildProcess client({FindProgram("nbdsh"), "-u", run.Uri(), "-c", R"(
h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(512)), 0)
h.pread(512, 1024)
print("asked", flush=True)
while not h.aio_is_closed() and not h.aio_is_dead():
    h.poll(-1)
)"},
                      kClientPatienceMs);
  ASSERT_TRUE(client.WaitForOutput("asked\n")) << client.err();
  run.Signal(SIGINT);
  // The first one was heard when nobody can connect any more.
  int asked = 0;
  while (asked < 1000 && RunProgram({"nbdinfo", "--size", run.Uri()}).code == 0) ++asked;
  EXPECT_EQ(run.Stop(SIGINT), 130) << run.err();
  client.Wait();
}

// Numbers of the errors, an "ok" for each success.
constexpr char kTry[] = R"(
import errno
def tell(call):
    try:
        call()
        print("ok")
    except nbd.Error as error:
        print(errno.errorcode[error.errnum])
)";

ProgramResult Try(const VmbusRun& run, const std::string& script) {
  return RunProgram({"nbdsh", "-u", run.Uri(), "-c", kTry, "-c", script});
}

TEST(RunImage, ThatIsMissingOrLockedIsNamed) {
  TemporaryFolder folder;
  const std::string image = folder.path() + "/a.img";
  VmbusRun missing({"--disk=" + image});
  EXPECT_FALSE(missing.serving());
  EXPECT_EQ(missing.Wait(), 1);
  EXPECT_THAT(missing.err(), HasSubstr(image + ": cannot be found"));
  MakeSparseFile(image, kMiB);
  VmbusRun first({"--disk=" + image});
  ASSERT_TRUE(first.serving()) << first.err();
  for (const char* also : {"", ",ro"}) {
    VmbusRun second({"--disk=" + image + also});
    EXPECT_FALSE(second.serving());
    EXPECT_EQ(second.Wait(), 1);
    EXPECT_THAT(second.err(), HasSubstr(image + ": locked by somebody")) << also;
  }
  EXPECT_EQ(first.Stop(), 0) << first.err();
  // Readers do not lock each other out.
  VmbusRun reader({"--disk=" + image + ",ro"});
  VmbusRun other({"--disk=" + image + ",ro"});
  EXPECT_TRUE(reader.serving()) << reader.err();
  EXPECT_TRUE(other.serving()) << other.err();
  EXPECT_EQ(reader.Stop(), 0) << reader.err();
  EXPECT_EQ(other.Stop(), 0) << other.err();
}

TEST(RunImage, ThatShrankIsAnErrorWhereItIsGone) {
  VMBUSKIT_NEEDS_PROGRAM("nbdsh");
  TemporaryFolder folder;
  const std::string image = folder.path() + "/a.img";
  MakeImage(image, 8 * kMiB);
  VmbusRun run({"--disk=" + image});
  ASSERT_TRUE(run.serving()) << run.err();
  std::filesystem::resize_file(image, 2 * kMiB);
  const ProgramResult tried = Try(run, R"(
tell(lambda: h.pread(4096, 1 << 20))
tell(lambda: h.pread(4096, 4 << 20))
tell(lambda: h.pread(1 << 20, (2 << 20) - 4096))
tell(lambda: h.pwrite(b"x" * 4096, 1 << 20))
tell(lambda: h.flush())
)");
  EXPECT_EQ(tried.out, "ok\nEIO\nEIO\nok\nok\n") << tried.err;
  EXPECT_EQ(run.Stop(), 0) << run.err();
  EXPECT_THAT(run.err(), HasSubstr("vmbus run: " + image + ": it has become shorter\n"));
}

class RunFull : public testing::TestWithParam<const char*> {};

// What was acknowledged is there, what was not is an error, and it goes on.
void ExpectFull(VmbusRun& run, const std::string& image, const std::string& says) {
  const ProgramResult tried = Try(run, R"(
tell(lambda: h.pwrite(b"a" * (1 << 20), 0))
for i in range(40):
    try:
        h.pwrite(b"b" * (1 << 20), (i + 1) << 20)
    except nbd.Error as error:
        print(errno.errorcode[error.errnum])
        break
tell(lambda: h.pwrite(b"c" * 4096, 4096))
tell(lambda: h.flush())
assert h.pread(12288, 0) == b"a" * 4096 + b"c" * 4096 + b"a" * 4096
print("read")
)");
  EXPECT_EQ(tried.code, 0) << tried.err;
  EXPECT_EQ(tried.out, "ok\nENOSPC\nok\nok\nread\n") << tried.err;
  EXPECT_EQ(run.Stop(), 0) << run.err();
  EXPECT_THAT(run.err(), HasSubstr("vmbus run: " + image + ": " + says + "\n"));
}

TEST_P(RunFull, FileSystemIsAnErrorThatNamesTheImage) {
  VMBUSKIT_NEEDS_PROGRAM("nbdsh");
  if (RunShell("unshare -Urm mount -t tmpfs none /mnt").code != 0) {
    GTEST_SKIP() << "no file system can be mounted here";
  }
  VmbusRun run(
      {"--disk=/mnt/a.img" + std::string(GetParam())},
      {FindProgram("unshare"), "-Urm", "/bin/sh", "-c",
       "mount -t tmpfs -o size=8M none /mnt && truncate -s 64M /mnt/a.img && exec \"$@\"", "sh"});
  ASSERT_TRUE(run.serving()) << run.err();
  ExpectFull(run, "/mnt/a.img", "No space left on device");
}

TEST_P(RunFull, LimitOfFilesIsAnErrorAndNotTheEnd) {
  VMBUSKIT_NEEDS_PROGRAM("nbdsh");
  TemporaryFolder folder;
  const std::string image = folder.path() + "/a.img";
  MakeSparseFile(image, 64 * kMiB);
  // In half KiB; the guest's memory is a file for the limit, too.
  VmbusRun run({"--disk=" + image + GetParam(), "--memory=16M"},
               {"/bin/sh", "-c", "ulimit -f 40000 && exec \"$@\"", "sh"});
  ASSERT_TRUE(run.serving()) << run.err();
  ExpectFull(run, image, "File too large");
}

INSTANTIATE_TEST_SUITE_P(Engines, RunFull, testing::Values("", ",threads"),
                         [](const auto& one) { return *one.param == '\0' ? "best" : "threads"; });

}  // namespace
}  // namespace vmbuskit
