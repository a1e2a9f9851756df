#include "tests/tidy/twins.h"

#include <initializer_list>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::tidy {
namespace {

using testing::IsEmpty;

Tree TreeOf(std::initializer_list<const char*> paths) {
  Tree tree;
  for (const char* path : paths) tree.AddSource(path, "");
  return tree;
}

std::string Report(const Tree& tree, std::span<const Covered> covered = {}) {
  std::string report;
  for (const Finding& finding : CheckTwins(tree, covered)) report += ToString(finding) + "\n";
  return report;
}

TEST(TwinsTest, ASourceHasATestBesideIt) {
  EXPECT_EQ(Report(TreeOf({"a/x.cc", "a/x.h", "a/x_test.cc"})), "");
  EXPECT_EQ(Report(TreeOf({"a/x.cc", "a/x_life_test.cc"})), "");
  EXPECT_EQ(Report(TreeOf({"a/x.cc", "b/x_test.cc"})),
            "a/x.cc: test-twin: test it in a/x_test.cc, or name the test that does in "
            "tests/tidy/exceptions.cc\n");
  EXPECT_NE(Report(TreeOf({"a/x.cc", "a/xy_test.cc"})), "");
}

TEST(TwinsTest, PartsOfAClassShareItsTests) {
  EXPECT_EQ(Report(TreeOf({"a/x_two_y.cc", "a/x.h", "a/x_test.cc"})), "");
  EXPECT_NE(Report(TreeOf({"a/x_y.cc", "a/x_y.h", "a/x.h", "a/x_test.cc"})), "");
  EXPECT_NE(Report(TreeOf({"a/x_y.cc", "a/x_test.cc"})), "");
  EXPECT_NE(Report(TreeOf({"a/x_y.cc", "a/x.h"})), "");
}

TEST(TwinsTest, MeasuresTestsAndMainNeedNone) {
  EXPECT_EQ(Report(TreeOf({"a/x_test.cc", "a/x_fuzz.cc", "a/x_benchmark.cc", "a/main.cc",
                           "tests/a/world.cc", "a/x.h"})),
            "");
}

TEST(TwinsTest, AHeaderWithLogicNeedsOne) {
  Tree tree;
  tree.AddSource("a/x.h", "int F() {\n\n\n\n\n\n\n\n\n}\n");
  EXPECT_EQ(Report(tree), "");
  tree.AddSource("a/y.h", "int F() {\n\n\n\n\n\n\n\n\n\n}\n");
  EXPECT_NE(Report(tree), "");
  tree.AddSource("a/y_test.cc", "");
  EXPECT_EQ(Report(tree), "");
}

TEST(TwinsTest, AnotherTestMayCoverIt) {
  const Covered covered[] = {{"a/x.cc", "b/y_test.cc"}};
  Tree tree = TreeOf({"a/x.cc", "a/x.h"});
  const char* missed = "a/x.cc: test-twin: its test b/y_test.cc does not reach it\n";
  EXPECT_EQ(Report(tree, covered), missed);
  tree.AddSource("b/y_test.cc", "#include \"a/x.h\"\n");
  EXPECT_EQ(Report(tree, covered), missed);
  tree.AddText("a/BUILD",
               "cc_library(\n    name = \"x\",\n    srcs = [\"x.cc\"],\n    hdrs = [\"x.h\"],\n)");
  EXPECT_EQ(Report(tree, covered), "");
}

TEST(TwinsTest, AProcessMayCoverIt) {
  const Covered covered[] = {{"a/x.cc", "b/y_test.cc"}};
  Tree tree = TreeOf({"a/x.cc", "tools/vmbus/process_testing.h"});
  tree.AddSource("b/y_test.cc", "#include \"tools/vmbus/process_testing.h\"\n");
  EXPECT_EQ(Report(tree, covered), "");
}

TEST(TwinsTest, TheListHoldsNothingStale) {
  const Covered covered[] = {{"a/x.cc", "b/y_test.cc"}};
  const char* stale =
      "a/x.cc: test-twin: needs no entry in tests/tidy/exceptions.cc any more: remove it\n";
  EXPECT_EQ(Report(TreeOf({"a/x.cc", "a/x_test.cc", "b/y_test.cc"}), covered), stale);
  EXPECT_EQ(Report(TreeOf({"b/y_test.cc"}), covered), stale);
}

TEST(EveryFileIsBuiltTest, FindsWhatNoRuleNames) {
  Tree tree = TreeOf({"a/x.cc", "a/y_test.cc"});
  EXPECT_EQ(CheckEveryFileIsBuilt(tree).size(), 2u);
  tree.AddText("a/BUILD", "cc_library(\n    name = \"x\",\n    srcs = [\"x.cc\"],\n)\n");
  EXPECT_EQ(CheckEveryFileIsBuilt(tree).size(), 1u);
  tree.AddText("a/b/y.bzl", "cc_test(srcs = [\"y_test.cc\"])\n");
  EXPECT_EQ(CheckEveryFileIsBuilt(tree).size(), 1u);
  tree.AddText("a/y.bzl", "cc_test(srcs = [\"y_test.cc\"])\n");
  EXPECT_THAT(CheckEveryFileIsBuilt(tree), IsEmpty());
}

}  // namespace
}  // namespace vmbuskit::tidy
