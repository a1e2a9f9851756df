// The rules of a BUILD file, read as far as the style rules need it: which rule names which C++ file,
// its tags, whether it is for tests only. A comprehension over names is written out.
//
//   for (const BuildRule& rule : ParseBuildFile("framework/bus", text)) Use(rule.name, rule.files);
//
// Thread safety: free functions.
#ifndef VMBUSKIT_TESTS_TIDY_BUILD_FILE_H_
#define VMBUSKIT_TESTS_TIDY_BUILD_FILE_H_

#include <string>
#include <string_view>
#include <vector>

namespace vmbuskit::tidy {

struct BuildRule {
  std::string file;  // the BUILD file
  size_t line = 0;   // from 1
  std::string kind;  // "cc_test"
  std::string name;
  std::vector<std::string> files;  // C++ sources and headers, by path from the root
  std::vector<std::string> tags;
  bool test_only = false;

  bool HasTag(std::string_view tag) const;
};

std::vector<BuildRule> ParseBuildFile(const std::string& folder, std::string_view text);

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_BUILD_FILE_H_
