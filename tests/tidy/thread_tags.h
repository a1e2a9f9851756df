// The rule that a test is tagged "threads" exactly when it can start one: the configuration for
// ThreadSanitizer runs those and no others.
//
//   Findings findings = CheckThreadTags(tree);
//
// A test starts threads when anything that it reaches (reach.h) does. Running a program counts too: its
// threads are tested with it; a mere fork has one. Thread safety: free functions.
#ifndef VMBUSKIT_TESTS_TIDY_THREAD_TAGS_H_
#define VMBUSKIT_TESTS_TIDY_THREAD_TAGS_H_

#include <string>
#include <vector>

#include "tests/tidy/tree.h"

namespace vmbuskit::tidy {

// One that starts threads or processes, of the files that `files` reach; empty when none does.
std::string ReachedStarter(const Tree& tree, const std::vector<std::string>& files);

Findings CheckThreadTags(const Tree& tree);

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_THREAD_TAGS_H_
