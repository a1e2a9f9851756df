// A C++ file as the rules see it: its lines as they stand, the same lines with nothing but code, and
// the same lines with nothing but comments. Literals are blanked in the code, so that a rule never
// takes a word in a string for a call.
//
//   const SourceText file("base/sum.cc", "int x = 1;  // one\n");
//   file.lines()[0];     // "int x = 1;  // one"
//   file.code()[0];      // "int x = 1;        "
//   file.comments()[0];  // "               one"
//
// Lines are counted from 0 here and from 1 in a Finding. Thread safety: immutable.
#ifndef VMBUSKIT_TESTS_TIDY_SOURCE_TEXT_H_
#define VMBUSKIT_TESTS_TIDY_SOURCE_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vmbuskit::tidy {

class SourceText {
 public:
  SourceText(std::string path, std::string_view text);

  const std::string& path() const { return path_; }
  bool is_header() const { return path_.ends_with(".h"); }
  const std::vector<std::string>& lines() const { return lines_; }
  const std::vector<std::string>& code() const { return code_; }
  const std::vector<std::string>& comments() const { return comments_; }

  // What it includes in quotes, with the line.
  struct Include {
    size_t line;
    std::string path;
  };
  const std::vector<Include>& includes() const { return includes_; }

 private:
  std::string path_;
  std::vector<std::string> lines_;
  std::vector<std::string> code_;
  std::vector<std::string> comments_;
  std::vector<Include> includes_;
};

// The lines of `text`, without their ends; no empty one after the last end.
std::vector<std::string> SplitLines(std::string_view text);

// Where `word` stands in `line` at or after `from` with no letter, digit or underscore next to those
// of its ends that are one; npos when nowhere.
size_t FindWord(std::string_view line, std::string_view word, size_t from = 0);

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_SOURCE_TEXT_H_
