// The rule that time, threads, randomness and the system come from platform/ alone: the rest is told
// them, so that a seed can be all of them.
//
//   Findings findings = CheckPlatformAccess(file);
//
// What uses them for a reason is listed in exceptions.cc. Thread safety: free functions.
#ifndef VMBUSKIT_TESTS_TIDY_PLATFORM_ACCESS_H_
#define VMBUSKIT_TESTS_TIDY_PLATFORM_ACCESS_H_

#include "tests/tidy/tree.h"

namespace vmbuskit::tidy {

Findings CheckPlatformAccess(const SourceText& file);

// Stand-alone fences, nowhere: ThreadSanitizer does not see them.
Findings CheckFences(const SourceText& file);

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_PLATFORM_ACCESS_H_
