// The rules about the form of a file: header guards, the comment that opens a header, names that a
// header must not let in, work that nobody owns, classes that register themselves.
//
//   Findings findings = CheckHeaderGuard(file);
//
// Thread safety: free functions.
#ifndef VMBUSKIT_TESTS_TIDY_FORM_H_
#define VMBUSKIT_TESTS_TIDY_FORM_H_

#include "tests/tidy/tree.h"

namespace vmbuskit::tidy {

Findings CheckHeaderGuard(const SourceText& file);
Findings CheckHeaderOpensWithItsPurpose(const SourceText& file);
Findings CheckNoUsingNamespaceInHeaders(const SourceText& file);
// Work left for later names the issue that owns it, "(#12)" right behind the word.
Findings CheckOpenWork(const SourceText& file);
Findings CheckOpenWorkInText(const std::string& path, std::string_view text);
// A class is a value that a product lists: no constructor of a global, no alwayslink.
Findings CheckStaticRegistration(const SourceText& file);
Findings CheckAlwayslink(const std::string& path, std::string_view text);

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_FORM_H_
