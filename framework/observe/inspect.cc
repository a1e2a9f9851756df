#include "framework/observe/inspect.h"

#include <algorithm>

namespace vmbuskit {
namespace {

// Length of the well-formed UTF-8 sequence at the front of `text`; 0 when it is malformed. Strings
// may come from a host, so neither overlong forms nor surrogates nor cut-off sequences get into the
// output.
size_t Utf8Length(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const uint8_t second = byte(1);
  if (lead == 0xe0 && second < 0xa0) return 0;
  if (lead == 0xed && second > 0x9f) return 0;
  if (lead == 0xf0 && second < 0x90) return 0;
  if (lead == 0xf4 && second > 0x8f) return 0;
  return length;
}

void AppendQuoted(std::string& out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const char c = text.front();
    const size_t length = Utf8Length(text);
    if (length == 0) {
      out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      out += "\\u00";
      out += kDigits[c >> 4];
      out += kDigits[c & 0xf];
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  out += '"';
}

struct AppendValue {
  std::string& out;
  void operator()(uint64_t value) const { out += std::to_string(value); }
  void operator()(int64_t value) const { out += std::to_string(value); }
  void operator()(bool value) const { out += value ? "true" : "false"; }
  void operator()(const std::string& value) const { AppendQuoted(out, value); }
};

void AppendNode(std::string& out, const InspectNode& node, size_t depth) {
  bool first = true;
  const auto start_member = [&](std::string_view name) {
    out += first ? "\n" : ",\n";
    first = false;
    out.append(2 * (depth + 1), ' ');
    AppendQuoted(out, name);
    out += ": ";
  };
  out += '{';
  for (const auto& [name, value] : node.values()) {
    start_member(name);
    std::visit(AppendValue{out}, value);
  }
  for (const auto& [name, child] : node.children()) {
    start_member(name);
    AppendNode(out, child, depth + 1);
  }
  if (!first) {
    out += '\n';
    out.append(2 * depth, ' ');
  }
  out += '}';
}

}  // namespace

void InspectNode::Assign(std::string_view name, Value value) {
  for (auto& [existing, old] : values_) {
    if (existing == name) {
      old = std::move(value);
      return;
    }
  }
  values_.emplace_back(std::string(name), std::move(value));
}

InspectNode& InspectNode::Child(std::string_view name) {
  for (auto& [existing, child] : children_) {
    if (existing == name) return child;
  }
  return children_.emplace_back(std::string(name), InspectNode()).second;
}

const InspectNode* InspectNode::Find(std::string_view path) const {
  const InspectNode* node = this;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    const auto child = std::find_if(node->children_.begin(), node->children_.end(),
                                    [name](const auto& entry) { return entry.first == name; });
    if (child == node->children_.end()) return nullptr;
    node = &child->second;
  }
  return node;
}

std::string InspectNode::ToJson() const {
  std::string out;
  AppendNode(out, *this, 0);
  return out;
}

}  // namespace vmbuskit
