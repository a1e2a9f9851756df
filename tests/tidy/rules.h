// All rules, by name.
//
//   for (const Rule& rule : AllRules()) Findings findings = rule.check(tree);
//
// Thread safety: free functions.
#ifndef VMBUSKIT_TESTS_TIDY_RULES_H_
#define VMBUSKIT_TESTS_TIDY_RULES_H_

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "tests/tidy/tree.h"

namespace vmbuskit::tidy {

struct Rule {
  std::string name;
  std::function<Findings(const Tree&)> check;
};

// What GoogleTest says of a parameter.
inline void PrintTo(const Rule& rule, std::ostream* out) { *out << rule.name; }

std::vector<Rule> AllRules();

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_RULES_H_
