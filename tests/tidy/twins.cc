#include "tests/tidy/twins.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "tests/tidy/functions.h"
#include "tests/tidy/reach.h"

namespace vmbuskit::tidy {
namespace {

// What tests include that run whole programs.
constexpr std::string_view kProcessTesting = "tools/vmbus/process_testing.h";

bool IsMain(const std::string& path) { return path == "main.cc" || path.ends_with("/main.cc"); }

bool HasLogic(const SourceText& header) {
  const std::vector<FunctionText> functions = FindFunctions(header);
  return std::any_of(functions.begin(), functions.end(), [](const FunctionText& function) {
    return function.last - function.first + 1 > kPlainFunctionLinesMax;
  });
}

bool WantsTest(const Tree& tree, const SourceText& file) {
  const std::string& path = file.path();
  if (IsTestCode(tree, path) || IsMeasure(path) || IsMain(path)) return false;
  if (!file.is_header()) return true;
  return !tree.HasSource(StemOf(path) + ".cc") && HasLogic(file);
}

// Whether x_test.cc or x_SOMETHING_test.cc stands beside it.
bool HasTwin(const Tree& tree, const std::string& stem) {
  if (tree.HasSource(stem + "_test.cc")) return true;
  const std::string prefix = stem + "_";
  for (auto at = tree.sources.lower_bound(prefix);
       at != tree.sources.end() && at->first.starts_with(prefix); ++at) {
    if (at->first.ends_with("_test.cc")) return true;
  }
  return false;
}

// Whether it is a part of a class that has a twin.
bool IsPartOfTested(const Tree& tree, const std::string& stem) {
  if (tree.HasSource(stem + ".h")) return false;
  const size_t name = stem.rfind('/') + 1;
  for (size_t cut = stem.rfind('_'); cut != std::string::npos && cut > name;
       cut = stem.rfind('_', cut - 1)) {
    const std::string whole = stem.substr(0, cut);
    if (tree.HasSource(whole + ".h") && HasTwin(tree, whole)) return true;
  }
  return false;
}

bool IsTested(const Tree& tree, const std::string& path) {
  const std::string stem = StemOf(path);
  return HasTwin(tree, stem) || IsPartOfTested(tree, stem);
}

// Whether the test includes what it is said to cover. What a process runs cannot be seen.
bool Covers(const Tree& tree, const Covered& entry) {
  const std::set<std::string> files = Reach(tree, {entry.test});
  return files.contains(entry.path) || files.contains(std::string(kProcessTesting));
}

// Whether a .bzl file of its folder names the file.
bool MacroNames(const Tree& tree, const std::string& path) {
  const std::string folder = FolderOf(path);
  const std::string name = absl::StrCat("\"", path.substr(folder.size() + 1), "\"");
  return std::any_of(tree.texts.begin(), tree.texts.end(), [&](const auto& entry) {
    return entry.first.ends_with(".bzl") && FolderOf(entry.first) == folder &&
           entry.second.find(name) != std::string::npos;
  });
}

}  // namespace

Findings CheckTwins(const Tree& tree, std::span<const Covered> covered) {
  Findings findings;
  const auto is_listed = [covered](const std::string& path) {
    return std::any_of(covered.begin(), covered.end(),
                       [&path](const Covered& entry) { return entry.path == path; });
  };
  for (const auto& [path, file] : tree.sources) {
    if (!WantsTest(tree, file) || IsTested(tree, path) || is_listed(path)) continue;
    findings.push_back({path, 0, "test-twin",
                        absl::StrCat("test it in ", StemOf(path),
                                     "_test.cc, or name the test that does in "
                                     "tests/tidy/exceptions.cc")});
  }
  for (const Covered& entry : covered) {
    const auto file = tree.sources.find(entry.path);
    if (file == tree.sources.end() || !WantsTest(tree, file->second) ||
        IsTested(tree, entry.path)) {
      findings.push_back({entry.path, 0, "test-twin",
                          "needs no entry in tests/tidy/exceptions.cc any more: remove it"});
    } else if (!Covers(tree, entry)) {
      findings.push_back({entry.path, 0, "test-twin",
                          absl::StrCat("its test ", entry.test, " does not reach it")});
    }
  }
  return findings;
}

Findings CheckEveryFileIsBuilt(const Tree& tree) {
  Findings findings;
  for (const auto& [path, file] : tree.sources) {
    if (tree.rule_of.contains(path) || MacroNames(tree, path)) continue;
    findings.push_back({path, 0, "built", "no BUILD rule and no macro of its folder names it"});
  }
  return findings;
}

}  // namespace vmbuskit::tidy
