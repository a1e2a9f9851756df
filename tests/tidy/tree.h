// Everything that the rules look at, and what they say.
//
//   const Tree tree = ReadTree(root);
//   for (const Finding& finding : CheckLayers(tree)) std::cerr << ToString(finding) << "\n";
//
// A rule is a function from a Tree (or from one file) to its findings. Thread safety: immutable once
// it is read.
#ifndef VMBUSKIT_TESTS_TIDY_TREE_H_
#define VMBUSKIT_TESTS_TIDY_TREE_H_

#include <map>
#include <string>
#include <vector>

#include "tests/tidy/build_file.h"
#include "tests/tidy/source_text.h"

namespace vmbuskit::tidy {

struct Finding {
  std::string file;
  size_t line = 0;  // from 1; 0: the whole file
  std::string rule;
  std::string advice;

  bool operator==(const Finding&) const = default;
};
using Findings = std::vector<Finding>;

// "framework/a.h:12: line-width: ..."
std::string ToString(const Finding& finding);

struct Tree {
  std::map<std::string, SourceText> sources;  // *.cc and *.h, by path from the root
  std::map<std::string, std::string> texts;   // BUILD files, scripts, documentation
  std::map<std::string, BuildRule> rule_of;   // by the C++ file that it names
  std::vector<BuildRule> build_rules;         // all of them

  void AddSource(const std::string& path, std::string_view text);
  void AddText(const std::string& path, std::string text);
  bool HasSource(const std::string& path) const { return sources.contains(path); }
};

// Tests, and what stands only below tests: by the BUILD rule that names the file.
bool IsTestCode(const Tree& tree, const std::string& path);
// Benchmarks and fuzzers, which measure and are not measured.
bool IsMeasure(const std::string& path);

// "framework" of "framework/bus/bus.h"; "framework/bus" is its folder.
std::string LayerOf(std::string_view path);
std::string FolderOf(std::string_view path);
// Without its ending: "framework/bus/bus".
std::string StemOf(std::string_view path);

// Every file below `root` but hidden ones, build outputs and fuzz corpora.
Tree ReadTree(const std::string& root);

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_TREE_H_
