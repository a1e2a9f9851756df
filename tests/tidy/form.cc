#include "tests/tidy/form.h"

#include <cctype>

#include "absl/strings/str_cat.h"

namespace vmbuskit::tidy {
namespace {

constexpr std::string_view kOpenWork[] = {"TODO", "FIXME", "XXX", "HACK"};

std::string GuardOf(std::string_view path) {
  std::string guard = "VMBUSKIT_";
  for (char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    guard += std::isalnum(byte) ? static_cast<char>(std::toupper(byte)) : '_';
  }
  return guard + "_";
}

// "(#" and digits and ")".
bool NamesAnIssue(std::string_view text) {
  if (!text.starts_with("(#")) return false;
  size_t at = 2;
  while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at]))) ++at;
  return at > 2 && text.substr(at).starts_with(")");
}

void FindOpenWork(const std::string& path, size_t line, std::string_view text, Findings& findings) {
  for (std::string_view word : kOpenWork) {
    const size_t at = FindWord(text, word);
    if (at == std::string_view::npos || NamesAnIssue(text.substr(at + word.size()))) continue;
    findings.push_back(
        {path, line + 1, "open-work",
         absl::StrCat("do it, or name the issue that owns it: ", std::string(word), "(#number)")});
  }
}

// A variable outside of any function whose value a registration makes.
bool RegistersAtStart(std::string_view code) {
  if (code.empty() || code.front() == ' ' || code.front() == '#') return false;
  const size_t value = code.find(" = ");
  if (value == std::string_view::npos) return FindWord(code, "REGISTER") == 0;
  const size_t call = code.find("Register", value);
  return call != std::string_view::npos && code.find('(', call) != std::string_view::npos;
}

}  // namespace

Findings CheckHeaderGuard(const SourceText& file) {
  if (!file.is_header()) return {};
  const std::string guard = GuardOf(file.path());
  const std::vector<std::string>& lines = file.lines();
  for (size_t i = 0; i + 1 < lines.size(); ++i) {
    if (!lines[i].starts_with("#ifndef ")) continue;
    if (lines[i] == absl::StrCat("#ifndef ", guard) &&
        lines[i + 1] == absl::StrCat("#define ", guard) &&
        lines.back() == absl::StrCat("#endif  // ", guard)) {
      return {};
    }
    break;
  }
  return {{file.path(), 0, "header-guard",
           absl::StrCat("guard it with #ifndef ", guard, ", #define, and #endif  // ", guard)}};
}

Findings CheckHeaderOpensWithItsPurpose(const SourceText& file) {
  if (!file.is_header()) return {};
  if (!file.lines().empty() && file.lines()[0].starts_with("// ")) return {};
  return {{file.path(), 1, "purpose",
           "open the header with what it is for, an example, its thread and lifetime rules"}};
}

Findings CheckNoUsingNamespaceInHeaders(const SourceText& file) {
  Findings findings;
  if (!file.is_header()) return findings;
  for (size_t i = 0; i < file.code().size(); ++i) {
    if (FindWord(file.code()[i], "using namespace") == std::string_view::npos) continue;
    findings.push_back({file.path(), i + 1, "using-namespace", "name what the header uses"});
  }
  return findings;
}

Findings CheckOpenWork(const SourceText& file) {
  Findings findings;
  for (size_t i = 0; i < file.comments().size(); ++i) {
    FindOpenWork(file.path(), i, file.comments()[i], findings);
  }
  return findings;
}

Findings CheckOpenWorkInText(const std::string& path, std::string_view text) {
  Findings findings;
  const std::vector<std::string> lines = SplitLines(text);
  for (size_t i = 0; i < lines.size(); ++i) FindOpenWork(path, i, lines[i], findings);
  return findings;
}

Findings CheckStaticRegistration(const SourceText& file) {
  Findings findings;
  for (size_t i = 0; i < file.code().size(); ++i) {
    const std::string& code = file.code()[i];
    const bool hidden = FindWord(code, "__attribute__((constructor") != std::string::npos ||
                        FindWord(code, "gnu::constructor") != std::string::npos ||
                        FindWord(code, "init_priority") != std::string::npos;
    if (!hidden && !RegistersAtStart(code)) continue;
    findings.push_back({file.path(), i + 1, "static-registration",
                        "let the product list the class as a value; nothing registers itself"});
  }
  return findings;
}

Findings CheckAlwayslink(const std::string& path, std::string_view text) {
  Findings findings;
  const std::vector<std::string> lines = SplitLines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!path.ends_with("BUILD") || FindWord(lines[i], "alwayslink") == std::string::npos) continue;
    findings.push_back({path, i + 1, "static-registration",
                        "link what is used: nothing needs to be linked for its constructors"});
  }
  return findings;
}

}  // namespace vmbuskit::tidy
