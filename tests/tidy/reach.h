// What a test is made of, as far as includes tell: what its sources include, and the sources behind
// those headers.
//
//   std::set<std::string> files = Reach(tree, {"a/b_test.cc"});   // "a/b_test.cc", "a/b.h", "a/b.cc"
//
// Behind a header stand the sources of its BUILD rule but those with a header of their own: those
// are reached by that. Thread safety: free functions.
#ifndef VMBUSKIT_TESTS_TIDY_REACH_H_
#define VMBUSKIT_TESTS_TIDY_REACH_H_

#include <set>
#include <string>
#include <vector>

#include "tests/tidy/tree.h"

namespace vmbuskit::tidy {

std::set<std::string> Reach(const Tree& tree, const std::vector<std::string>& from);

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_REACH_H_
