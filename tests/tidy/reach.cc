#include "tests/tidy/reach.h"

namespace vmbuskit::tidy {
namespace {

// The sources that implement `header`.
std::vector<std::string> Behind(const Tree& tree, const std::string& header) {
  std::vector<std::string> sources;
  const auto rule = tree.rule_of.find(header);
  if (!header.ends_with(".h") || rule == tree.rule_of.end()) return sources;
  for (const std::string& file : rule->second.files) {
    const std::string own = StemOf(file) + ".h";
    if (file.ends_with(".cc") && (own == header || !tree.HasSource(own))) sources.push_back(file);
  }
  return sources;
}

}  // namespace

std::set<std::string> Reach(const Tree& tree, const std::vector<std::string>& from) {
  std::vector<std::string> open;
  std::set<std::string> seen;
  const auto reach = [&](const std::string& path) {
    if (tree.HasSource(path) && seen.insert(path).second) open.push_back(path);
  };
  for (const std::string& path : from) reach(path);
  while (!open.empty()) {
    const std::string path = open.back();
    open.pop_back();
    for (const SourceText::Include& include : tree.sources.at(path).includes()) {
      reach(include.path);
    }
    for (const std::string& source : Behind(tree, path)) reach(source);
  }
  return seen;
}

}  // namespace vmbuskit::tidy
