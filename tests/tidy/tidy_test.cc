// Holds every rule over the whole tree. A finding reads "file:line: rule: what to do".
#include <filesystem>
#include <map>
#include <string>
#include <system_error>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/tidy/exceptions.h"
#include "tests/tidy/rules.h"
#include "tests/tidy/tree.h"

namespace vmbuskit::tidy {
namespace {

// A runfile is a link to the source: the tree is found behind it, with all its packages.
const Tree& WholeTree() {
  static const Tree tree = [] {
    std::error_code error;
    const std::filesystem::path here = std::filesystem::canonical("tests/tidy/BUILD", error);
    return ReadTree(here.parent_path().parent_path().parent_path().string());
  }();
  return tree;
}

// Of one rule over the whole tree, excused or not.
const Findings& FindingsOf(const Rule& rule) {
  static std::map<std::string, Findings> known;
  const auto [at, added] = known.try_emplace(rule.name);
  if (added) at->second = rule.check(WholeTree());
  return at->second;
}

std::string Report(const Findings& findings) {
  std::string report;
  for (const Finding& finding : findings) report += ToString(finding) + "\n";
  return report;
}

TEST(TidyTest, SeesTheTree) {
  EXPECT_TRUE(WholeTree().HasSource("platform/executor.h"));
  EXPECT_TRUE(WholeTree().texts.contains("dev"));
  EXPECT_FALSE(WholeTree().build_rules.empty());
  for (const auto& [path, text] : WholeTree().texts) EXPECT_FALSE(path.starts_with("bazel-"));
}

class TidyRuleTest : public testing::TestWithParam<Rule> {};

TEST_P(TidyRuleTest, HoldsOverTheWholeTree) {
  const std::string report = Report(WithoutExcused(FindingsOf(GetParam()), Exceptions()));
  EXPECT_TRUE(report.empty()) << "\n" << report;
}

INSTANTIATE_TEST_SUITE_P(All, TidyRuleTest, testing::ValuesIn(AllRules()),
                         [](const auto& info) { return info.param.name; });

TEST(TidyTest, ExcusesNothingThatIsGone) {
  Findings all;
  for (const Rule& rule : AllRules()) {
    const Findings& findings = FindingsOf(rule);
    all.insert(all.end(), findings.begin(), findings.end());
  }
  const std::string report = Report(CheckExceptionsAreUsed(all, Exceptions()));
  EXPECT_TRUE(report.empty()) << "\n" << report;
}

}  // namespace
}  // namespace vmbuskit::tidy
