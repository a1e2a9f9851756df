#include "tests/tidy/lengths.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::tidy {
namespace {

using testing::IsEmpty;

std::string Lines(size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += "\n";
  return text;
}

TEST(LengthsTest, LimitsTheLinesOfAFile) {
  EXPECT_THAT(CheckFileLength(SourceText("a.cc", Lines(800))), IsEmpty());
  const Findings findings = CheckFileLength(SourceText("a.cc", Lines(801)));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(ToString(findings[0]),
            "a.cc: file-length: 801 lines, at most 800: split it, one idea per file");
}

TEST(LengthsTest, LimitsTheMedianOfTheSources) {
  Tree tree;
  tree.AddSource("a/a.cc", Lines(150));
  tree.AddSource("a/b.cc", Lines(700));
  tree.AddSource("a/c_test.cc", Lines(700));
  tree.AddSource("a/d_fuzz.cc", Lines(700));
  EXPECT_THAT(CheckMedianFileLength(tree), IsEmpty());
  tree.AddSource("a/e.h", Lines(151));
  const Findings findings = CheckMedianFileLength(tree);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_THAT(findings[0].advice, testing::HasSubstr("the median source has 151 lines"));
}

TEST(LengthsTest, LimitsTheLinesOfAFunction) {
  EXPECT_THAT(CheckFunctionLength(SourceText("a.cc", "void F() {" + Lines(59) + "}\n")), IsEmpty());
  const Findings findings =
      CheckFunctionLength(SourceText("a.cc", "\nvoid F() {" + Lines(60) + "}\n"));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(ToString(findings[0]),
            "a.cc:2: function-length: F has 61 lines, at most 60: give its parts names");
}

TEST(LengthsTest, LimitsTheColumnsOfCodeAndOfComments) {
  const std::string code = std::string(100, 'x') + "\n";
  const std::string comment = "//" + std::string(118, 'x') + "\n";
  const std::string include = "#include \"" + std::string(100, 'x') + "\"\n";
  EXPECT_THAT(CheckLineWidth(SourceText("a.cc", code + comment + include)), IsEmpty());
  const Findings findings = CheckLineWidth(SourceText("a.cc", "x" + code + "//x" + comment));
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(ToString(findings[0]), "a.cc:1: line-width: 101 columns, at most 100 (comments 120)");
  EXPECT_EQ(findings[1].line, 2u);
}

TEST(LengthsTest, HoldsACommentBehindCodeToTheLimitOfCode) {
  EXPECT_EQ(CheckLineWidth(SourceText("a.cc", "x();  // " + std::string(92, 'x'))).size(), 1u);
}

}  // namespace
}  // namespace vmbuskit::tidy
