#include "tests/tidy/source_text.h"

#include <cctype>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace vmbuskit::tidy {
namespace {

bool IsWordCharacter(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Walks a file once and says of each character whether it is code or comment; the delimiters of
// comments and the insides of literals are neither.
class Masker {
 public:
  explicit Masker(std::string_view text)
      : text_(text), code_(text.size(), ' '), comments_(text.size(), ' ') {}

  void Run() {
    while (at_ < text_.size()) Step();
    for (size_t i = 0; i < text_.size(); ++i) {
      if (text_[i] == '\n') code_[i] = comments_[i] = '\n';
    }
  }

  std::string& code() { return code_; }
  std::string& comments() { return comments_; }

 private:
  void Step() {
    if (text_.substr(at_, 2) == "//") return SkipComment("\n");
    if (text_.substr(at_, 2) == "/*") return SkipComment("*/");
    if (text_.substr(at_, 2) == "R\"" && !AfterWord()) return SkipRawString();
    const char c = text_[at_];
    // An apostrophe in a number separates its digits.
    if (c == '"' || (c == '\'' && !AfterWord())) return SkipLiteral(c);
    code_[at_++] = c;
  }

  bool AfterWord() const { return at_ > 0 && IsWordCharacter(text_[at_ - 1]); }

  void SkipComment(std::string_view end) {
    const size_t found = text_.find(end, at_ + 2);
    const size_t last = found == std::string_view::npos ? text_.size() : found;
    for (size_t i = at_ + 2; i < last; ++i) comments_[i] = text_[i];
    at_ = last + (found == std::string_view::npos || end == "\n" ? 0 : end.size());
  }

  void SkipLiteral(char quote) {
    code_[at_++] = quote;
    while (at_ < text_.size() && text_[at_] != quote && text_[at_] != '\n') {
      at_ += text_[at_] == '\\' ? 2 : 1;
    }
    if (at_ < text_.size()) code_[at_++] = quote;
  }

  void SkipRawString() {
    const size_t open = text_.find('(', at_);
    if (open == std::string_view::npos) {
      at_ = text_.size();
      return;
    }
    const std::string end = ")" + std::string(text_.substr(at_ + 2, open - at_ - 2)) + "\"";
    const size_t close = text_.find(end, open);
    at_ = close == std::string_view::npos ? text_.size() : close + end.size();
  }

  const std::string_view text_;
  size_t at_ = 0;
  std::string code_;
  std::string comments_;
};

}  // namespace

std::vector<std::string> SplitLines(std::string_view text) {
  std::vector<std::string> lines =
      absl::StrSplit(absl::string_view(text.data(), text.size()), '\n');
  if (lines.back().empty()) lines.pop_back();
  return lines;
}

size_t FindWord(std::string_view line, std::string_view word, size_t from) {
  for (size_t at = line.find(word, from); at != std::string_view::npos;
       at = line.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool begins = at == 0 || !IsWordCharacter(word.front()) || !IsWordCharacter(line[at - 1]);
    const bool ends =
        end == line.size() || !IsWordCharacter(word.back()) || !IsWordCharacter(line[end]);
    if (begins && ends) return at;
  }
  return std::string_view::npos;
}

SourceText::SourceText(std::string path, std::string_view text)
    : path_(std::move(path)), lines_(SplitLines(text)) {
  Masker masker(text);
  masker.Run();
  code_ = SplitLines(masker.code());
  comments_ = SplitLines(masker.comments());
  for (size_t i = 0; i < lines_.size(); ++i) {
    if (!absl::StartsWith(code_[i], "#include \"")) continue;
    const size_t open = lines_[i].find('"');
    const size_t close = lines_[i].find('"', open + 1);
    if (close != std::string::npos) {
      includes_.push_back({i, lines_[i].substr(open + 1, close - open - 1)});
    }
  }
}

}  // namespace vmbuskit::tidy
