#include "tests/tidy/functions.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace vmbuskit::tidy {
namespace {

bool IsNameCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("_:~=").find(c) != std::string_view::npos;
}

bool IsWordCharacter(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Just behind the bracket that closes the one at `open`; the end when none does.
size_t Behind(const std::string& text, size_t open, char opening, char closing) {
  int depth = 0;
  for (size_t at = open; at < text.size(); ++at) {
    if (text[at] == opening) ++depth;
    if (text[at] == closing && --depth == 0) return at + 1;
  }
  return text.size();
}

// What stands before a brace, without what may come before a declaration.
std::string Declaration(std::string head) {
  const auto trim = [&head] { head.erase(0, std::min(head.find_first_not_of(' '), head.size())); };
  trim();
  while (head.starts_with("template") || head.starts_with("[[")) {
    const bool is_template = head.front() == 't';
    const size_t open = head.find(is_template ? '<' : '[');
    if (open == std::string::npos) break;
    head.erase(0, is_template ? Behind(head, open, '<', '>') : Behind(head, open, '[', ']'));
    trim();
  }
  return head;
}

bool IsContainer(const std::string& head) {
  for (const char* word : {"namespace", "class", "struct", "union", "enum", "inline namespace"}) {
    if (FindWord(head, word) == 0) return true;
  }
  return FindWord(head, "extern") == 0 && head.find('(') == std::string::npos;
}

// The parenthesis that opens the parameters, or npos when `head` declares no function.
size_t ParametersOf(const std::string& head) {
  for (size_t at = 0; at < head.size(); ++at) {
    const char c = head[at];
    if (c == '(') return at;
    if (c != '=') continue;
    // Either an operator's name or the value of a variable; a lambda's body is a function's.
    if (head.find("operator") < at) continue;
    const size_t lambda = head.find('[', at);
    return lambda == std::string::npos ? lambda : head.find('(', lambda);
  }
  return std::string::npos;
}

// Whether the brace behind `head` initialises a member in a constructor's list: then a name stands
// right before it.
bool InitialisesMember(const std::string& head, size_t parameters) {
  const size_t end = head.find_last_not_of(' ');
  const size_t behind = Behind(head, parameters, '(', ')');
  const size_t colon = head.find(" : ", behind > 0 ? behind - 1 : 0);
  return colon != std::string::npos && end != std::string::npos &&
         (IsWordCharacter(head[end]) || head[end] == '>');
}

std::string NameBefore(const std::string& head, size_t parameters) {
  size_t begin = parameters;
  while (begin > 0 && IsNameCharacter(head[begin - 1])) --begin;
  return head.substr(begin, parameters - begin);
}

class Scanner {
 public:
  explicit Scanner(const SourceText& file) : file_(file) {}

  std::vector<FunctionText> Run() {
    bool continued = false;
    for (line_ = 0; line_ < file_.code().size(); ++line_) {
      const std::string& text = file_.code()[line_];
      const bool directive = continued || text.starts_with('#');
      continued = directive && file_.lines()[line_].ends_with('\\');
      if (directive) continue;
      for (char c : text) Take(c);
      Take(' ');
    }
    return std::move(functions_);
  }

 private:
  // What a brace that is open belongs to.
  enum class Scope { kContainer, kFunction, kOther };

  void Take(char c) {
    if (c == '{') return Open();
    if (c == '}') return Close();
    if (in_function_ || in_value_ > 0) return;
    if (c == '(') ++parentheses_;
    if (c == ')') --parentheses_;
    if (c == ';' && parentheses_ == 0) return head_.clear();
    if (c == ':' && IsAccess()) return head_.clear();
    if (head_.empty() && c == ' ') return;
    if (head_.empty()) first_ = line_;
    head_ += c;
  }

  bool IsAccess() const { return head_ == "public" || head_ == "private" || head_ == "protected"; }

  void Open() {
    Scope scope = Scope::kOther;
    if (!in_function_ && in_value_ == 0 && parentheses_ == 0) scope = Classify();
    scopes_.push_back(scope);
    if (scope == Scope::kOther) ++in_value_;
    if (scope == Scope::kFunction) in_function_ = true;
    if (scope == Scope::kContainer) head_.clear();
  }

  Scope Classify() {
    const std::string head = Declaration(head_);
    if (IsContainer(head)) return Scope::kContainer;
    const size_t parameters = ParametersOf(head);
    if (parameters == std::string::npos || InitialisesMember(head, parameters)) {
      return Scope::kOther;
    }
    functions_.push_back({NameBefore(head, parameters), first_, line_});
    return Scope::kFunction;
  }

  void Close() {
    if (scopes_.empty()) return;
    const Scope scope = scopes_.back();
    scopes_.pop_back();
    if (scope == Scope::kOther) {  // the statement goes on
      if (--in_value_ == 0 && !in_function_) head_ += '}';
      return;
    }
    if (scope == Scope::kFunction) {
      functions_.back().last = line_;
      in_function_ = false;
    }
    head_.clear();
  }

  const SourceText& file_;
  std::vector<FunctionText> functions_;
  std::vector<Scope> scopes_;
  std::string head_;  // of the statement that is being read
  size_t first_ = 0;  // where it began
  size_t line_ = 0;
  int parentheses_ = 0;
  int in_value_ = 0;  // braces that are open and neither a container's nor a function's
  bool in_function_ = false;
};

}  // namespace

std::vector<FunctionText> FindFunctions(const SourceText& file) { return Scanner(file).Run(); }

}  // namespace vmbuskit::tidy
