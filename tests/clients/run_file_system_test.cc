// A file system that mkfs.ext4 made, read and changed through a guest's disk.
//
// debugfs wants a file, of which it also writes single bytes. Where the kernel has FUSE, nbdfuse makes the export look
// like a file, over nbdkit's filter that makes whole blocks of bytes (nbdfuse refuses parts of a block itself), so that
// each request of debugfs goes through the export; elsewhere it works on a copy, out of the export and back into it
// (qemu-nbd would need the kernel's nbd module, and root).

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/clients/run_testing.h"

namespace vmbuskit {
namespace {

using testing::EndsWith;

class RunFileSystem : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* program : {"mkfs.ext4", "debugfs", "e2fsck", "nbdcopy"}) {
      VMBUSKIT_NEEDS_PROGRAM(program);
    }
    // Files of several sizes, made outside.
    ASSERT_TRUE(std::filesystem::create_directory(Path("tree")));
    MakeImage(Path("tree/large"), 9 * kMiB + 123, /*seed=*/4);
    MakeImage(Path("tree/small"), 777, /*seed=*/5);
    MakeImage(Path("new"), 5 * kMiB + 1, /*seed=*/6);
    Succeeds({"mkfs.ext4", "-q", "-F", "-d", Path("tree"), Path("image"), "64M"});
    run_.emplace(std::vector<std::string>{"--disk=" + Path("image"), "--cpus=2"});
    ASSERT_TRUE(run_->serving()) << run_->err();
  }

  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }
  static void Succeeds(std::vector<std::string> arguments) {
    const ProgramResult result = RunProgram(arguments);
    EXPECT_EQ(result.code, 0) << arguments.front() << ": " << result.out << result.err;
  }
  // debugfs ends with 0 whatever happens; its first line of standard error is its version.
  static void Debugfs(const std::string& image, const std::string& command) {
    const ProgramResult result = RunProgram({"debugfs", "-w", "-R", command, image});
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
  }
  void ExpectClean(const std::string& image) {
    const ProgramResult check = RunProgram({"e2fsck", "-fn", image});
    EXPECT_EQ(check.code, 0) << check.out << check.err;
  }
  // `name` in the file system of `image` is what `original` is.
  void ExpectHas(const std::string& image, const std::string& name, const std::string& original) {
    Debugfs(image, "dump " + name + " " + Path("dumped"));
    EXPECT_EQ(Sha256Of(Path("dumped")), Sha256Of(original)) << name;
    EXPECT_EQ(Sha256Of(original).size(), 64u);
  }
  void ExpectAllIn(const std::string& image) {
    ExpectClean(image);
    ExpectHas(image, "large", Path("tree/large"));
    ExpectHas(image, "small", Path("tree/small"));
    ExpectHas(image, "new", Path("new"));
  }
  void StopAndExpectAllInTheImage() {
    EXPECT_EQ(run_->Stop(SIGINT), 0) << run_->err();
    EXPECT_THAT(run_->err(), EndsWith(VmbusRun::kStopped));
    ExpectAllIn(Path("image"));
  }

  TemporaryFolder folder_;
  std::optional<VmbusRun> run_;
};

TEST_F(RunFileSystem, DebugfsWritesAFileIntoACopyThatGoesBack) {
  Succeeds({"nbdcopy", run_->Uri(), Path("copy")});
  ExpectClean(Path("copy"));
  ExpectHas(Path("copy"), "large", Path("tree/large"));
  Debugfs(Path("copy"), "write " + Path("new") + " new");
  Succeeds({"nbdcopy", "--flush", Path("copy"), run_->Uri()});
  Succeeds({"nbdcopy", run_->Uri(), Path("again")});
  ExpectAllIn(Path("again"));
  StopAndExpectAllInTheImage();
}

TEST_F(RunFileSystem, DebugfsWritesAFileThroughTheExport) {
  VMBUSKIT_NEEDS_PROGRAM("nbdfuse");
  VMBUSKIT_NEEDS_PROGRAM("nbdkit");
  if (access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "there is no /dev/fuse to use";
  ASSERT_TRUE(std::filesystem::create_directory(Path("mount")));
  const std::string export_file = Path("mount/disk");
  ChildProcess nbdfuse(
      {FindProgram("nbdfuse"), "-P", Path("pid"), export_file, "[", FindProgram("nbdkit"), "nbd",
       "uri=" + run_->Uri(), "--filter=blocksize", "minblock=512", "]"},
      kClientPatienceMs);
  // It writes its process id when the export is there; asking takes long enough not to ask often.
  int asked = 0;
  while (asked < 20'000 && RunProgram({"test", "-s", Path("pid")}).code != 0) ++asked;
  if (!std::filesystem::exists(export_file)) GTEST_SKIP() << "nbdfuse cannot mount here";
  ExpectClean(export_file);
  Debugfs(export_file, "write " + Path("new") + " new");
  ExpectAllIn(export_file);
  const char* const unmount = FindProgram("fusermount3").empty() ? "umount " : "fusermount3 -u ";
  const ProgramResult unmounted = RunShell(unmount + Path("mount"));
  EXPECT_EQ(unmounted.code, 0) << unmounted.err;
  EXPECT_EQ(nbdfuse.Wait(), 0) << nbdfuse.err();
  StopAndExpectAllInTheImage();
}

}  // namespace
}  // namespace vmbuskit
