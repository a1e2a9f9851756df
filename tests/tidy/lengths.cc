#include "tests/tidy/lengths.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/tidy/functions.h"

namespace vmbuskit::tidy {

namespace {

// In characters of UTF-8.
size_t Columns(const std::string& line) {
  return std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

}  // namespace

Findings CheckFileLength(const SourceText& file) {
  const size_t count = file.lines().size();
  if (count <= kFileLinesMax) return {};
  return {
      {file.path(), 0, "file-length",
       absl::StrCat(count, " lines, at most ", kFileLinesMax, ": split it, one idea per file")}};
}

Findings CheckMedianFileLength(const Tree& tree) {
  std::vector<size_t> counts;
  for (const auto& [path, file] : tree.sources) {
    if (!IsTestCode(tree, path) && !IsMeasure(path)) counts.push_back(file.lines().size());
  }
  if (counts.empty()) return {};
  std::sort(counts.begin(), counts.end());
  const size_t median = counts[(counts.size() - 1) / 2];
  if (median <= kMedianFileLinesMax) return {};
  return {{".", 0, "median-file-length",
           absl::StrCat("the median source has ", median, " lines, at most ", kMedianFileLinesMax,
                        ": split the long ones")}};
}

Findings CheckFunctionLength(const SourceText& file) {
  Findings findings;
  for (const FunctionText& function : FindFunctions(file)) {
    const size_t count = function.last - function.first + 1;
    if (count <= kFunctionLinesMax) continue;
    findings.push_back({file.path(), function.first + 1, "function-length",
                        absl::StrCat(function.name, " has ", count, " lines, at most ",
                                     kFunctionLinesMax, ": give its parts names")});
  }
  return findings;
}

Findings CheckLineWidth(const SourceText& file) {
  Findings findings;
  for (size_t i = 0; i < file.lines().size(); ++i) {
    const std::string& code = file.code()[i];
    const size_t width = Columns(file.lines()[i]);
    // A comment may go on behind the code's limit; an include cannot be broken.
    const bool is_comment = code.find_first_not_of(' ') == std::string::npos;
    if (width <= (is_comment ? kCommentColumnsMax : kCodeColumnsMax)) continue;
    if (code.starts_with("#include")) continue;
    findings.push_back({file.path(), i + 1, "line-width",
                        absl::StrCat(width, " columns, at most ", kCodeColumnsMax, " (comments ",
                                     kCommentColumnsMax, ")")});
  }
  return findings;
}

}  // namespace vmbuskit::tidy
