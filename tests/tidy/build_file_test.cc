#include "tests/tidy/build_file.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::tidy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(BuildFileTest, ReadsRules) {
  const auto rules = ParseBuildFile("a/b", R"(load("//x.bzl", "y")

# cc_library(name = "comment")
cc_library(
    name = "one",
    srcs = ["one.cc"],
    hdrs = [
        "one.h",  # "no.h"
        "two.h",
    ],
    deps = ["//c:three.h"],
)

cc_test(
    name = "one_test",
    srcs = ["one_test.cc"],
    tags = ["threads", "slow"],
    deps = [":one"],
)
)");
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(rules[0].file, "a/b/BUILD");
  EXPECT_EQ(rules[0].line, 4u);
  EXPECT_EQ(rules[0].kind, "cc_library");
  EXPECT_EQ(rules[0].name, "one");
  EXPECT_THAT(rules[0].files, ElementsAre("a/b/one.cc", "a/b/one.h", "a/b/two.h"));
  EXPECT_THAT(rules[0].tags, IsEmpty());
  EXPECT_FALSE(rules[0].test_only);
  EXPECT_EQ(rules[1].line, 14u);
  EXPECT_THAT(rules[1].tags, ElementsAre("threads", "slow"));
  EXPECT_TRUE(rules[1].HasTag("slow"));
  EXPECT_FALSE(rules[1].HasTag("slo"));
  EXPECT_TRUE(rules[1].test_only);
}

TEST(BuildFileTest, WritesAComprehensionOut) {
  const auto rules = ParseBuildFile("a", R"([
    cc_test(
        name = part + "_test",
        srcs = [part + "_test.cc"],
    )
    for part in [
        "life",
        "death",
    ]
]
)");
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(rules[0].name, "life_test");
  EXPECT_THAT(rules[1].files, ElementsAre("a/death_test.cc"));
}

TEST(BuildFileTest, KnowsWhatIsForTestsOnly) {
  const auto one = ParseBuildFile("a", "cc_library(\n    name = \"x\",\n    testonly = True,\n)\n");
  ASSERT_EQ(one.size(), 1u);
  EXPECT_TRUE(one[0].test_only);
  const auto all =
      ParseBuildFile("a", "package(default_testonly = True)\ncc_library(name = \"x\")\n");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_TRUE(all[0].test_only);
}

TEST(BuildFileTest, EndsOnUnbalancedText) {
  EXPECT_EQ(ParseBuildFile("a", "cc_test(name = \"x").size(), 1u);
  EXPECT_THAT(ParseBuildFile("a", ")]["), IsEmpty());
}

}  // namespace
}  // namespace vmbuskit::tidy
