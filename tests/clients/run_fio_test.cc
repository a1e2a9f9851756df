// fio writes at random and verifies every block, while the controller stays or comes and goes. A few seconds each, or
// as many as VMBUSKIT_CLIENT_SECONDS says (`./dev clients --long`: 60).
#include <cstdio>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/clients/run_testing.h"

namespace vmbuskit {
namespace {

using nlohmann::json;
using testing::EndsWith;

constexpr int kShortSeconds = 4;
constexpr int kJobs = 4;

int Seconds() {
  const char* const seconds = std::getenv("VMBUSKIT_CLIENT_SECONDS");
  return seconds == nullptr ? kShortSeconds : std::max(1, std::atoi(seconds));
}
bool Long() { return Seconds() > kShortSeconds; }

// Writes all of each job's part in random order, then reads and verifies it, again and again.
ProgramResult Fio(const std::string& uri, const std::string& megabytes) {
  return RunProgram({"fio", "--name=verify", "--output-format=json", "--ioengine=nbd",
                     "--uri=" + uri, "--rw=randwrite", "--bs=4k", "--iodepth=32",
                     "--numjobs=" + std::to_string(kJobs), "--size=" + megabytes + "m",
                     "--offset_increment=" + megabytes + "m", "--verify=crc32c", "--verify_fatal=1",
                     "--do_verify=1", "--time_based", "--runtime=" + std::to_string(Seconds()),
                     "--group_reporting"});
}

void ExpectVerified(const ProgramResult& fio, const std::string& what) {
  EXPECT_EQ(fio.code, 0) << fio.out << fio.err;
  const json report =
      json::parse(fio.out.substr(std::min(fio.out.find('{'), fio.out.size())), nullptr, false);
  ASSERT_TRUE(report.is_object()) << fio.out << fio.err;
  ASSERT_EQ(report["jobs"].size(), 1u) << "one for the group";
  const json& job = report["jobs"][0];
  EXPECT_EQ(job["error"], 0) << fio.out;
  EXPECT_GT(job["write"]["total_ios"], 0);
  EXPECT_GT(job["read"]["total_ios"], 0) << "nothing was verified";
  std::printf("%s: %d s, %.0f writes/s, %.0f verified, errors %d\n", what.c_str(), Seconds(),
              job["write"]["iops"].get<double>(), job["read"]["total_ios"].get<double>(),
              job["error"].get<int>());
}

// The number before `word` in what the run said at its end.
int Count(const std::string& text, const std::string& word) {
  const size_t end = text.find(" " + word);
  if (end == text.npos) return -1;
  return std::atoi(text.c_str() + text.rfind(' ', end - 1));
}

class RunFio : public testing::Test {
 protected:
  void SetUp() override {
    VMBUSKIT_NEEDS_PROGRAM("fio");
    if (RunProgram({"fio", "--enghelp"}).out.find("nbd") == std::string::npos) {
      GTEST_SKIP() << "this fio has no engine for NBD";
    }
    MakeSparseFile(disk(), 256 * kMiB);
  }
  std::string disk() const { return folder_.path() + "/disk"; }
  // So much that each part is written and verified several times, also by a slow build.
  std::string megabytes() const { return Long() && !kSanitized ? "64" : "2"; }

  TemporaryFolder folder_;
};

TEST_F(RunFio, VerifiesWhatFourJobsWrote) {
  VmbusRun run({"--disk=" + disk(), "--cpus=2"});
  ASSERT_TRUE(run.serving()) << run.err();
  ExpectVerified(Fio(run.Uri(), megabytes()), "undisturbed");
  EXPECT_EQ(run.Stop(), 0) << run.err();
  EXPECT_THAT(run.err(), EndsWith(VmbusRun::kStopped));
}

TEST_F(RunFio, VerifiesWhileTheControllerAndItsDisksComeAndGo) {
  const std::string chaos =
      Long() ? "--chaos=rescind:1s,hotplug:1s" : "--chaos=rescind:300ms,hotplug:200ms";
  VmbusRun run({"--disk=" + disk(), "--disk=ram:16M", "--cpus=2", chaos});
  ASSERT_TRUE(run.serving()) << run.err();
  ExpectVerified(Fio(run.Uri(), megabytes()), "with " + chaos);
  EXPECT_EQ(run.Stop(), 0) << run.err();
  EXPECT_THAT(run.err(), EndsWith(VmbusRun::kStopped));
  EXPECT_GE(Count(run.err(), "rescinds"), Seconds() / 2) << run.err();
  EXPECT_GE(Count(run.err(), "hot plugs"), Seconds() / 2) << run.err();
  std::printf("%s", run.err().c_str());
}

}  // namespace
}  // namespace vmbuskit
