// The rule that what can go wrong has a test beside it.
//
//   Findings findings = CheckTwins(tree, kCoveredElsewhere);
//
// A source x.cc (a header with logic likewise) stands beside x_test.cc or x_SOMETHING_test.cc. Where
// one class is spread over x.cc and x_part.cc (there is no x_part.h), x's tests are those of the part.
// What another test covers is listed, with that test. Thread safety: free functions.
#ifndef VMBUSKIT_TESTS_TIDY_TWINS_H_
#define VMBUSKIT_TESTS_TIDY_TWINS_H_

#include <span>
#include <string>

#include "tests/tidy/tree.h"

namespace vmbuskit::tidy {

// A header whose longest function is not longer has no logic of its own.
constexpr size_t kPlainFunctionLinesMax = 10;

struct Covered {
  std::string path;
  std::string test;  // a file
};

Findings CheckTwins(const Tree& tree, std::span<const Covered> covered);

// A file that no BUILD rule names is neither compiled nor run.
Findings CheckEveryFileIsBuilt(const Tree& tree);

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_TWINS_H_
