#include "tests/tidy/platform_access.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::tidy {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

size_t Count(std::string_view text) {
  return CheckPlatformAccess(SourceText("framework/a.cc", text)).size();
}

TEST(PlatformAccessTest, SeesHeadersOfTheSystem) {
  EXPECT_EQ(Count("#include <thread>\n"), 1u);
  EXPECT_EQ(Count("#include <mutex>\n"), 1u);
  EXPECT_EQ(Count("#include <unistd.h>\n"), 1u);
  EXPECT_EQ(Count("#include <sys/mman.h>\n"), 1u);
  EXPECT_EQ(Count("#include <random>\n"), 1u);
  EXPECT_EQ(Count("#include <vector>\n#include <chrono>\n#include \"platform/time.h\"\n"), 0u);
}

TEST(PlatformAccessTest, SeesClocksSleepsAndRandomness) {
  EXPECT_EQ(Count("auto t = std::chrono::steady_clock::now();\n"), 1u);
  EXPECT_EQ(Count("auto t = Clock::now();\n"), 1u);
  EXPECT_EQ(Count("std::random_device seed;\n"), 1u);
  EXPECT_EQ(Count("usleep(3);\n"), 1u);
  EXPECT_EQ(Count("clock_gettime(0, &t);\n"), 1u);
  EXPECT_EQ(Count("auto t = executor.Now();\n"), 0u);
}

TEST(PlatformAccessTest, TakesNoCommentOrStringForACall) {
  EXPECT_EQ(Count("// std::thread\nSay(\"usleep\");\n"), 0u);
}

TEST(PlatformAccessTest, LeavesThePlatformAlone) {
  EXPECT_THAT(CheckPlatformAccess(SourceText("platform/a.cc", "#include <thread>\n")), IsEmpty());
}

TEST(PlatformAccessTest, SaysWhatToDo) {
  const Findings findings =
      CheckPlatformAccess(SourceText("tools/a.cc", "\n#include <sys/wait.h>\n"));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_THAT(ToString(findings[0]),
              HasSubstr("tools/a.cc:2: platform-access: '<sys/wait.h>' belongs to platform/"));
}

TEST(FencesTest, AreFoundEverywhere) {
  EXPECT_EQ(CheckFences(SourceText("platform/a.cc", "std::atomic_thread_fence(x);\n")).size(), 1u);
  EXPECT_THAT(CheckFences(SourceText("platform/a.cc", "// atomic_thread_fence\n")), IsEmpty());
}

}  // namespace
}  // namespace vmbuskit::tidy
