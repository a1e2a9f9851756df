// The rules about lengths: of files, of functions, of lines.
//
//   Findings findings = CheckFileLength(file);
//
// Thread safety: free functions.
#ifndef VMBUSKIT_TESTS_TIDY_LENGTHS_H_
#define VMBUSKIT_TESTS_TIDY_LENGTHS_H_

#include "tests/tidy/tree.h"

namespace vmbuskit::tidy {

constexpr size_t kFileLinesMax = 800;
constexpr size_t kMedianFileLinesMax = 150;  // over the sources, tests apart
constexpr size_t kFunctionLinesMax = 60;
constexpr size_t kCodeColumnsMax = 100;
constexpr size_t kCommentColumnsMax = 120;

Findings CheckFileLength(const SourceText& file);
Findings CheckMedianFileLength(const Tree& tree);
Findings CheckFunctionLength(const SourceText& file);
Findings CheckLineWidth(const SourceText& file);

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_LENGTHS_H_
