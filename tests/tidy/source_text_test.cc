#include "tests/tidy/source_text.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::tidy {
namespace {

using testing::ElementsAre;

TEST(SourceTextTest, TellsCodeFromComments) {
  const SourceText file("a.cc", "int x;  // not x\n/* two\nlines */ int y;\n");
  EXPECT_THAT(file.code(), ElementsAre("int x;          ", "      ", "         int y;"));
  EXPECT_THAT(file.comments(), ElementsAre("           not x", "   two", "lines          "));
}

TEST(SourceTextTest, BlanksLiterals) {
  const SourceText file("a.cc", "Say(\"a // \\\" b\", '\"', '\\'', 1'000);\n");
  EXPECT_THAT(file.code(), ElementsAre("Say(\"         \", ' ', '  ', 1'000);"));
  EXPECT_THAT(file.comments(), ElementsAre(std::string(35, ' ')));
}

TEST(SourceTextTest, BlanksRawStringsOverLines) {
  const SourceText file("a.cc", "x = R\"end({ \" )\" \n})end\"; y();\n");
  EXPECT_THAT(file.code(), ElementsAre("x =              ", "      ; y();"));
}

TEST(SourceTextTest, FindsQuotedIncludes) {
  const SourceText file("a.cc", "#include <thread>\n#include \"b/c.h\"\n// #include \"d.h\"\n");
  ASSERT_EQ(file.includes().size(), 1u);
  EXPECT_EQ(file.includes()[0].line, 1u);
  EXPECT_EQ(file.includes()[0].path, "b/c.h");
}

TEST(SourceTextTest, EndsInsideOfALiteralOrCommentAtTheEnd) {
  for (const char* text : {"\"abc", "'", "/* abc", "R\"(abc", "R\"", "\"\\", "//"}) {
    EXPECT_LE(SourceText("a.cc", text).code().size(), 1u) << text;
  }
}

TEST(FindWordTest, FindsWholeWordsOnly) {
  EXPECT_EQ(FindWord("resleep sleep sleepy", "sleep"), 8u);
  EXPECT_EQ(FindWord("resleep sleepy", "sleep"), std::string_view::npos);
  EXPECT_EQ(FindWord("steady_clock::now()", "_clock::now"), std::string_view::npos);
  EXPECT_EQ(FindWord("steady_clock::now()", "::now"), 12u);
  EXPECT_EQ(FindWord("f(f(x))", "f(", 1), 2u);
}

}  // namespace
}  // namespace vmbuskit::tidy
