// Copies of whole images through a guest's disk, which is another file.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/clients/run_testing.h"

namespace vmbuskit {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

constexpr uint64_t kLarge = (kSanitized ? 64 : 1024) * kMiB;

TEST(RunCopy, AGibibyteThereAndBackIsTheSame) {
  VMBUSKIT_NEEDS_PROGRAM("nbdcopy");
  TemporaryFolder folder;
  const std::string image = folder.path() + "/image";
  const std::string disk = folder.path() + "/disk";
  const std::string back = folder.path() + "/back";
  MakeImage(image, kLarge);
  MakeSparseFile(disk, kLarge);
  VmbusRun run({"--disk=" + disk, "--cpus=2"});
  ASSERT_TRUE(run.serving()) << run.err();
  const ProgramResult there = RunProgram({"nbdcopy", "--flush", image, run.Uri()});
  EXPECT_EQ(there.code, 0) << there.err;
  const ProgramResult again = RunProgram({"nbdcopy", run.Uri(), back});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(run.Stop(), 0) << run.err();
  EXPECT_THAT(run.err(), EndsWith(VmbusRun::kStopped));
  const std::string sum = Sha256Of(image);
  EXPECT_EQ(sum.size(), 64u);
  EXPECT_EQ(Sha256Of(back), sum);
  EXPECT_EQ(Sha256Of(disk), sum);
  EXPECT_EQ(std::filesystem::file_size(disk), kLarge);
}

TEST(RunCopy, QemuImgConvertsComparesAndChecks) {
  VMBUSKIT_NEEDS_PROGRAM("qemu-img");
  TemporaryFolder folder;
  const std::string raw = folder.path() + "/raw";
  const std::string qcow2 = folder.path() + "/qcow2";
  MakeImage(raw, 96 * kMiB);
  ASSERT_EQ(RunProgram({"qemu-img", "convert", "-O", "qcow2", raw, qcow2}).code, 0);
  MakeSparseFile(folder.path() + "/disk", 128 * kMiB);
  VmbusRun run({"--disk=" + folder.path() + "/disk", "--cpus=2"});
  ASSERT_TRUE(run.serving()) << run.err();
  const auto succeeds = [](std::vector<std::string> arguments) {
    const ProgramResult result = RunProgram(std::move(arguments));
    EXPECT_EQ(result.code, 0) << result.out << result.err;
    return result.out;
  };

  // qcow2 -> disk of the guest -> qcow2.
  const std::string uri = run.Uri();
  const std::string out = folder.path() + "/out.qcow2";
  succeeds({"qemu-img", "convert", "-n", "-f", "qcow2", "-O", "raw", qcow2, uri});
  EXPECT_THAT(succeeds({"qemu-img", "compare", "-f", "raw", "-F", "raw", raw, uri}),
              HasSubstr("Images are identical"));
  succeeds({"qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, out});
  EXPECT_THAT(succeeds({"qemu-img", "check", "-f", "qcow2", out}),
              HasSubstr("No errors were found on the image."));
  EXPECT_THAT(succeeds({"qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, out}),
              HasSubstr("Images are identical"));

  // The format on the guest's disk itself: many small and odd requests.
  succeeds({"qemu-img", "create", "-f", "qcow2", uri, "96M"});
  succeeds({"qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", raw, uri});
  EXPECT_THAT(succeeds({"qemu-img", "check", "-f", "qcow2", uri}),
              HasSubstr("No errors were found on the image."));
  EXPECT_EQ(run.Stop(SIGINT), 0) << run.err();
  EXPECT_THAT(
      succeeds({"qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, folder.path() + "/disk"}),
      HasSubstr("Images are identical"));
}

}  // namespace
}  // namespace vmbuskit
