#include "tests/tidy/functions.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::tidy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// "Name:first-last" of each function, lines from 1.
std::vector<std::string> Functions(std::string_view text) {
  std::vector<std::string> result;
  for (const FunctionText& f : FindFunctions(SourceText("a.cc", text))) {
    result.push_back(absl::StrCat(f.name, ":", f.first + 1, "-", f.last + 1));
  }
  return result;
}

TEST(FunctionsTest, MeasuresFromTheDeclarationToTheBrace) {
  EXPECT_THAT(Functions("namespace a {\n"
                        "int One() { return 1; }\n"
                        "\n"
                        "std::vector<int> Two(\n"
                        "    int x = 3) {\n"
                        "  if (x) {\n"
                        "  }\n"
                        "}\n"
                        "}\n"),
              ElementsAre("One:2-2", "Two:4-8"));
}

TEST(FunctionsTest, SeesMethodsInsideOfClasses) {
  EXPECT_THAT(Functions("class A final : public B {\n"
                        " public:\n"
                        "  A() = default;\n"
                        "  explicit A(int x) : x_(x), y_{1}, z_<int>{2} { Start(); }\n"
                        "  bool Is() const override {\n"
                        "    return x_;\n"
                        "  }\n"
                        "  int x_ = 0;\n"
                        "  Options options{};\n"
                        "};\n"),
              ElementsAre("A:4-4", "Is:5-7"));
}

TEST(FunctionsTest, CountsAnAttributeAndATemplateIn) {
  EXPECT_THAT(Functions("template <typename T = A<int>>\n"
                        "[[nodiscard]] T Get() {\n"
                        "}\n"),
              ElementsAre("Get:1-3"));
}

TEST(FunctionsTest, TakesATestForAFunction) {
  EXPECT_THAT(Functions("TEST_F(A, B) {\n  x();\n}\n"), ElementsAre("TEST_F:1-3"));
}

TEST(FunctionsTest, KeepsLambdasAndLocalClassesInTheirFunction) {
  EXPECT_THAT(Functions("void A() {\n"
                        "  struct B {\n"
                        "    int C() { return 1; }\n"
                        "  };\n"
                        "  auto d = [](int x) { return x; };\n"
                        "}\n"
                        "void E() {}\n"),
              ElementsAre("A:1-6", "E:7-7"));
}

TEST(FunctionsTest, TakesNoInitialiserForAFunction) {
  EXPECT_THAT(Functions("constexpr int kA[] = {\n    f(1),\n};\n"
                        "const B b{C(1)};\n"
                        "enum class D : int { kX };\n"
                        "void F(Options options = {});\n"),
              IsEmpty());
}

TEST(FunctionsTest, SeesOperatorsAndNamedLambdas) {
  EXPECT_THAT(Functions("bool operator==(A a, A b) {\n}\n"
                        "const auto kF = [](int x) {\n};\n"),
              ElementsAre("operator==:1-2", ":3-4"));
}

TEST(FunctionsTest, PassesMacrosBy) {
  EXPECT_THAT(Functions("#define A(x) \\\n  void B() { \\\n\nvoid C() {\n}\n"),
              ElementsAre("C:4-5"));
}

TEST(FunctionsTest, EndsOnUnbalancedBraces) {
  EXPECT_THAT(Functions("}}} void A() {"), ElementsAre("A:1-1"));
}

}  // namespace
}  // namespace vmbuskit::tidy
