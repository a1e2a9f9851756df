// Bytes from the hex dumps of a specification, for tests.
//
//   const std::vector<std::byte> rescind = FromHex("02 00 00 00 00 00 00 00 05 00 00 00");
//
// Offsets at line starts ("0010:") are skipped, as is white space. Thread safety: pure functions.
#ifndef VMBUSKIT_FRAMEWORK_BASE_HEX_H_
#define VMBUSKIT_FRAMEWORK_BASE_HEX_H_

#include <cctype>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmbuskit {

inline std::vector<std::byte> FromHex(std::string_view text) {
  std::vector<std::byte> bytes;
  std::string token;
  auto flush = [&] {
    if (token.size() == 2) bytes.push_back(static_cast<std::byte>(std::stoi(token, nullptr, 16)));
    token.clear();
  };
  for (char c : text) {
    if (std::isxdigit(static_cast<unsigned char>(c)) || c == ':') {
      token += c;
    } else {
      flush();
    }
  }
  flush();
  return bytes;
}

inline std::string ToHex(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::byte byte : bytes) {
    if (!text.empty()) text += ' ';
    text += kDigits[std::to_integer<int>(byte) >> 4];
    text += kDigits[std::to_integer<int>(byte) & 15];
  }
  return text;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BASE_HEX_H_
