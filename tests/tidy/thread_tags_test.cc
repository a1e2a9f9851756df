#include "tests/tidy/thread_tags.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::tidy {
namespace {

using testing::IsEmpty;

// A test that includes a.h, whose library compiles part.cc, which includes b.h.
Tree TreeOf(const std::string& tags, const std::string& part) {
  Tree tree;
  tree.AddSource("x/a_test.cc", "#include \"x/a.h\"\n");
  tree.AddSource("x/a.h", "");
  tree.AddSource("x/part.cc", part);
  tree.AddSource("x/b.h", "inline void F() { std::thread t; }\n");
  tree.AddText("x/BUILD",
               absl::StrCat("cc_library(\n    name = \"a\",\n    srcs = [\"part.cc\"],\n"
                            "    hdrs = [\"a.h\"],\n)\n\ncc_test(\n    name = \"a_test\",\n"
                            "    srcs = [\"a_test.cc\"],\n",
                            tags, ")\n"));
  return tree;
}

constexpr const char* kTag = "    tags = [\"threads\"],\n";

TEST(ThreadTagsTest, ATestThatReachesAThreadIsTagged) {
  const std::string part = "#include \"x/b.h\"\n";
  EXPECT_THAT(CheckThreadTags(TreeOf(kTag, part)), IsEmpty());
  const Findings findings = CheckThreadTags(TreeOf("", part));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(ToString(findings[0]),
            "x/BUILD:7: thread-tags: a_test starts threads (x/b.h): give it the tag \"threads\"");
}

TEST(ThreadTagsTest, ATestWithoutThreadsIsNot) {
  const std::string part = "void G() { auto id = std::this_thread::get_id(); }  // std::thread\n";
  EXPECT_THAT(CheckThreadTags(TreeOf("", part)), IsEmpty());
  const Findings findings = CheckThreadTags(TreeOf(kTag, part));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(ToString(findings[0]),
            "x/BUILD:7: thread-tags: a_test starts no thread: remove its tag \"threads\"");
}

TEST(ThreadTagsTest, AProgramCountsToo) {
  EXPECT_EQ(CheckThreadTags(TreeOf("", "posix_spawn(&pid, path);\n")).size(), 1u);
  EXPECT_THAT(CheckThreadTags(TreeOf("", "int pid = fork();\n")), IsEmpty());
  EXPECT_EQ(CheckThreadTags(TreeOf("", "auto t = ExecutorThread::Start({});\n")).size(), 1u);
}

}  // namespace
}  // namespace vmbuskit::tidy
