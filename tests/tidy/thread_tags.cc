#include "tests/tidy/thread_tags.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "tests/tidy/reach.h"

namespace vmbuskit::tidy {
namespace {

constexpr const char* kStarters[] = {
    "std::thread",           "std::jthread",   "std::async",
    "ExecutorThread::Start", "pthread_create", "posix_spawn",
};

bool Starts(const SourceText& file) {
  return std::any_of(file.code().begin(), file.code().end(), [](const std::string& line) {
    return std::any_of(std::begin(kStarters), std::end(kStarters), [&line](const char* word) {
      return FindWord(line, word) != std::string::npos;
    });
  });
}

}  // namespace

std::string ReachedStarter(const Tree& tree, const std::vector<std::string>& files) {
  for (const std::string& path : Reach(tree, files)) {
    if (Starts(tree.sources.at(path))) return path;
  }
  return "";
}

Findings CheckThreadTags(const Tree& tree) {
  Findings findings;
  for (const BuildRule& rule : tree.build_rules) {
    if (rule.kind != "cc_test") continue;
    const std::string starter = ReachedStarter(tree, rule.files);
    if (rule.HasTag("threads") == !starter.empty()) continue;
    findings.push_back(
        {rule.file, rule.line, "thread-tags",
         starter.empty() ? absl::StrCat(rule.name, " starts no thread: remove its tag \"threads\"")
                         : absl::StrCat(rule.name, " starts threads (", starter,
                                        "): give it the tag \"threads\"")});
  }
  return findings;
}

}  // namespace vmbuskit::tidy
