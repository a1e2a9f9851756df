#include "tests/tidy/form.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::tidy {
namespace {

using testing::IsEmpty;

constexpr const char* kHeader =
    "// What it is for.\n"
    "#ifndef VMBUSKIT_A_B_C_H_\n"
    "#define VMBUSKIT_A_B_C_H_\n"
    "#endif  // VMBUSKIT_A_B_C_H_\n";

TEST(FormTest, AHeaderIsGuardedByItsPath) {
  EXPECT_THAT(CheckHeaderGuard(SourceText("a/b-c.h", kHeader)), IsEmpty());
  EXPECT_THAT(CheckHeaderGuard(SourceText("a/b.cc", "")), IsEmpty());
  EXPECT_EQ(CheckHeaderGuard(SourceText("a/d.h", kHeader)).size(), 1u);
  EXPECT_EQ(CheckHeaderGuard(SourceText("a/b/c.h", "#pragma once\n")).size(), 1u);
  EXPECT_EQ(CheckHeaderGuard(SourceText("a/b/c.h", absl::StrCat(kHeader, "\n"))).size(), 1u);
}

TEST(FormTest, AHeaderOpensWithItsPurpose) {
  EXPECT_THAT(CheckHeaderOpensWithItsPurpose(SourceText("a/b/c.h", kHeader)), IsEmpty());
  EXPECT_THAT(CheckHeaderOpensWithItsPurpose(SourceText("a/b/c.cc", "int x;\n")), IsEmpty());
  EXPECT_EQ(CheckHeaderOpensWithItsPurpose(SourceText("a/b/c.h", "#ifndef X\n")).size(), 1u);
  EXPECT_EQ(CheckHeaderOpensWithItsPurpose(SourceText("a/b/c.h", "")).size(), 1u);
}

TEST(FormTest, AHeaderLetsNoNamespaceIn) {
  const char* text = "\nusing namespace std;\n";
  EXPECT_THAT(CheckNoUsingNamespaceInHeaders(SourceText("a.cc", text)), IsEmpty());
  EXPECT_THAT(CheckNoUsingNamespaceInHeaders(SourceText("a.h", "using a::b;\n")), IsEmpty());
  const Findings findings = CheckNoUsingNamespaceInHeaders(SourceText("a.h", text));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(ToString(findings[0]), "a.h:2: using-namespace: name what the header uses");
}

TEST(FormTest, OpenWorkNamesItsIssue) {
  const std::string open = "TODO";
  EXPECT_EQ(CheckOpenWork(SourceText("a.cc", absl::StrCat("// ", open, ": x\n"))).size(), 1u);
  EXPECT_EQ(CheckOpenWork(SourceText("a.cc", absl::StrCat("// ", open, "(me): x\n"))).size(), 1u);
  EXPECT_EQ(CheckOpenWork(SourceText("a.cc", absl::StrCat("// ", open, "(#): x\n"))).size(), 1u);
  EXPECT_THAT(CheckOpenWork(SourceText("a.cc", absl::StrCat("// ", open, "(#7): x\n"))), IsEmpty());
  EXPECT_THAT(CheckOpenWork(SourceText("a.cc", absl::StrCat("Say(\"", open, "\");\n"))), IsEmpty());
  EXPECT_EQ(CheckOpenWorkInText("a/BUILD", absl::StrCat("\n# ", open, "\n")).size(), 1u);
  EXPECT_THAT(CheckOpenWorkInText("a.sh", "mktemp /x/aXXXXXX\n"), IsEmpty());
}

TEST(FormTest, NothingRegistersItself) {
  const auto count = [](const char* text) {
    return CheckStaticRegistration(SourceText("a.cc", text)).size();
  };
  EXPECT_EQ(count("const bool registered = Registry::Get().Register(kClass);\n"), 1u);
  EXPECT_EQ(count("static Handle h = RegisterClass(kClass);\n"), 1u);
  EXPECT_EQ(count("__attribute__((constructor)) void F() {}\n"), 1u);
  EXPECT_EQ(count("[[gnu::constructor]] void F() {}\n"), 1u);
  EXPECT_EQ(count("REGISTER(Echo)\n"), 1u);
  EXPECT_EQ(count("  absl::Status status = registry.Register(kClass);\n"), 0u);
  EXPECT_EQ(count("absl::Status Bus::RegisterClass(DeviceClass device_class) {\n"), 0u);
  EXPECT_EQ(CheckAlwayslink("a/BUILD", "    alwayslink = True,\n").size(), 1u);
  EXPECT_THAT(CheckAlwayslink("a/x.md", "alwayslink\n"), IsEmpty());
}

}  // namespace
}  // namespace vmbuskit::tidy
