#include "tests/tidy/build_file.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace vmbuskit::tidy {
namespace {

bool IsNameCharacter(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// The same text with comments blanked.
std::string WithoutComments(std::string_view text) {
  std::string result(text);
  bool in_string = false;
  bool in_comment = false;
  for (char& c : result) {
    if (c == '\n') in_comment = in_string = false;
    if (c == '"' && !in_comment) in_string = !in_string;
    if (c == '#' && !in_string) in_comment = true;
    if (in_comment) c = ' ';
  }
  return result;
}

// Just behind the bracket that closes the one at `open`.
size_t BehindBracket(std::string_view text, size_t open) {
  int depth = 0;
  bool in_string = false;
  for (size_t at = open; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') in_string = !in_string;
    if (in_string) continue;
    if (c == '(' || c == '[' || c == '{') ++depth;
    if ((c == ')' || c == ']' || c == '}') && --depth == 0) return at + 1;
  }
  return text.size();
}

std::vector<std::string> StringsIn(std::string_view text) {
  std::vector<std::string> strings;
  for (size_t open = text.find('"'); open != std::string_view::npos; open = text.find('"', open)) {
    const size_t close = text.find('"', open + 1);
    if (close == std::string_view::npos) break;
    strings.emplace_back(text.substr(open + 1, close - open - 1));
    open = close + 1;
  }
  return strings;
}

// The value of `attribute` in the text of a call, up to the next attribute of the same line start.
std::string_view ValueOf(std::string_view call, std::string_view attribute) {
  for (size_t at = call.find(attribute); at != std::string_view::npos;
       at = call.find(attribute, at + 1)) {
    if (at > 0 && IsNameCharacter(call[at - 1])) continue;
    size_t value = at + attribute.size();
    if (call.substr(value, 3) != " = ") continue;
    value += 3;
    if (value < call.size() && call[value] == '[') {
      return call.substr(value, BehindBracket(call, value) - value);
    }
    return call.substr(value, call.find_first_of(",\n)", value) - value);
  }
  return {};
}

BuildRule MakeRule(const std::string& folder, std::string_view kind, std::string_view call) {
  BuildRule rule;
  rule.file = absl::StrCat(folder, "/BUILD");
  rule.kind = std::string(kind);
  const std::vector<std::string> names = StringsIn(ValueOf(call, "name"));
  if (!names.empty()) rule.name = names.front();
  for (const char* attribute : {"srcs", "hdrs"}) {
    for (const std::string& file : StringsIn(ValueOf(call, attribute))) {
      const bool is_source = file.ends_with(".cc") || file.ends_with(".h");
      if (is_source && file.find(':') == std::string::npos) {
        rule.files.push_back(absl::StrCat(folder, "/", file));
      }
    }
  }
  rule.tags = StringsIn(ValueOf(call, "tags"));
  rule.test_only = kind == "cc_test" || ValueOf(call, "testonly") == "True";
  return rule;
}

// The names that "[rule(...) for VARIABLE in [NAMES]]" goes over; `text` begins behind the rule.
std::vector<std::string> ComprehensionNames(std::string_view text, std::string& variable) {
  const size_t begin = text.find_first_not_of(" \n");
  if (begin == std::string_view::npos || text.substr(begin, 4) != "for ") return {};
  const size_t name = begin + 4;
  const size_t in = text.find(" in [", name);
  if (in == std::string_view::npos) return {};
  variable = std::string(text.substr(name, in - name));
  return StringsIn(text.substr(in + 4, BehindBracket(text, in + 4) - in - 4));
}

}  // namespace

bool BuildRule::HasTag(std::string_view tag) const {
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

std::vector<BuildRule> ParseBuildFile(const std::string& folder, std::string_view raw) {
  const std::string text = WithoutComments(raw);
  std::vector<BuildRule> rules;
  bool all_test_only = false;
  for (size_t open = text.find('('); open != std::string::npos; open = text.find('(', open)) {
    const size_t end = BehindBracket(text, open);
    size_t begin = open;
    while (begin > 0 && IsNameCharacter(text[begin - 1])) --begin;
    const std::string kind = text.substr(begin, open - begin);
    const std::string call = text.substr(open, end - open);
    const size_t line = 1 + std::count(text.begin(), text.begin() + begin, '\n');
    open = end;
    if (kind == "package") all_test_only = ValueOf(call, "default_testonly") == "True";
    if (kind == "package" || kind == "load" || kind == "exports_files") continue;
    std::string variable;
    const std::vector<std::string> names =
        ComprehensionNames(std::string_view(text).substr(end), variable);
    if (names.empty()) {
      rules.push_back(MakeRule(folder, kind, call));
      rules.back().line = line;
    }
    for (const std::string& name : names) {
      const std::string glue = absl::StrCat(variable, " + \"");
      rules.push_back(
          MakeRule(folder, kind, absl::StrReplaceAll(call, {{glue, absl::StrCat("\"", name)}})));
      rules.back().line = line;
    }
  }
  for (BuildRule& rule : rules) rule.test_only = rule.test_only || all_test_only;
  return rules;
}

}  // namespace vmbuskit::tidy
