#include "tests/tidy/tree.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace vmbuskit::tidy {
namespace {

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

bool IsSkipped(const std::filesystem::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  std::error_code ignored;
  const bool hidden = name.starts_with(".") && name != ".ci" && name != ".bazelrc";
  return hidden || entry.is_symlink(ignored) || name == "build" || name == "fuzz_corpus";
}

bool IsText(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const std::string ending = path.extension().string();
  return name == "BUILD" || name == "WORKSPACE" || name == "dev" || name == "run" ||
         name == ".bazelrc" || ending == ".bzl" || ending == ".sh" || ending == ".md";
}

}  // namespace

std::string ToString(const Finding& finding) {
  const std::string line = finding.line == 0 ? "" : absl::StrCat(":", finding.line);
  return absl::StrCat(finding.file, line, ": ", finding.rule, ": ", finding.advice);
}

void Tree::AddSource(const std::string& path, std::string_view text) {
  sources.emplace(path, SourceText(path, text));
}

void Tree::AddText(const std::string& path, std::string text) {
  if (path.ends_with("/BUILD")) {
    for (BuildRule& rule : ParseBuildFile(FolderOf(path), text)) {
      for (const std::string& file : rule.files) {
        // What one rule uses outside tests is not for tests only.
        if (!rule.test_only) rule_of.erase(file);
        rule_of.emplace(file, rule);
      }
      build_rules.push_back(std::move(rule));
    }
  }
  texts.emplace(path, std::move(text));
}

bool IsTestCode(const Tree& tree, const std::string& path) {
  if (path.ends_with("_test.cc") || LayerOf(path) == "tests") return true;
  const auto rule = tree.rule_of.find(path);
  return rule != tree.rule_of.end() && rule->second.test_only;
}

bool IsMeasure(const std::string& path) {
  return path.ends_with("_benchmark.cc") || path.ends_with("_fuzz.cc");
}

std::string LayerOf(std::string_view path) { return std::string(path.substr(0, path.find('/'))); }

std::string FolderOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(path.substr(0, slash == std::string_view::npos ? 0 : slash));
}

std::string StemOf(std::string_view path) { return std::string(path.substr(0, path.rfind('.'))); }

Tree ReadTree(const std::string& root) {
  Tree tree;
  std::error_code error;
  std::filesystem::recursive_directory_iterator at(root, error);
  for (; !error && at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
    if (IsSkipped(*at)) {
      at.disable_recursion_pending();
      continue;
    }
    std::error_code ignored;
    if (!at->is_regular_file(ignored)) continue;
    const std::string path = at->path().lexically_relative(root).generic_string();
    if (path.ends_with(".cc") || path.ends_with(".h")) {
      tree.AddSource(path, ReadFile(at->path()));
    } else if (IsText(at->path())) {
      tree.AddText(path, ReadFile(at->path()));
    }
  }
  return tree;
}

}  // namespace vmbuskit::tidy
