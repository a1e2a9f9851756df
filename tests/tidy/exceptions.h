// What may break a rule, and why. An entry that excuses nothing any more is itself a finding.
//
//   Findings open = WithoutExcused(findings, Exceptions());
//
// Thread safety: free functions.
#ifndef VMBUSKIT_TESTS_TIDY_EXCEPTIONS_H_
#define VMBUSKIT_TESTS_TIDY_EXCEPTIONS_H_

#include <span>
#include <string>

#include "tests/tidy/tree.h"
#include "tests/tidy/twins.h"

namespace vmbuskit::tidy {

struct Exception {
  std::string rule;
  std::string file;
  std::string reason;
};

std::span<const Exception> Exceptions();

// The test of each source that has none beside it.
std::span<const Covered> CoveredElsewhere();

Findings WithoutExcused(const Findings& findings, std::span<const Exception> exceptions);
Findings CheckExceptionsAreUsed(const Findings& findings, std::span<const Exception> exceptions);

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_EXCEPTIONS_H_
