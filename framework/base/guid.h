// A GUID as it stands on the wire: the first three groups little-endian, the last two in text order
// (protocol 02 section 6, "byte order rule").
//
//   constexpr Guid kHeartbeat = Guid::Parse("57164f39-9115-4e78-ab55-382f3bd5422d");
//
// Thread safety: a plain value.
#ifndef VMBUSKIT_FRAMEWORK_BASE_GUID_H_
#define VMBUSKIT_FRAMEWORK_BASE_GUID_H_

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace vmbuskit {

struct Guid {
  std::array<uint8_t, 16> bytes{};  // wire order

  // Canonical text "8-4-4-4-12", either case, braces allowed; nullopt when malformed.
  static constexpr std::optional<Guid> FromString(std::string_view text);
  // For constants: malformed text does not compile.
  static consteval Guid Parse(std::string_view text) { return FromString(text).value(); }
  // Lower case, no braces.
  std::string ToString() const;

  friend constexpr auto operator<=>(const Guid&, const Guid&) = default;

  template <typename H>
  friend H AbslHashValue(H state, const Guid& guid) {
    uint64_t halves[2];
    std::memcpy(halves, guid.bytes.data(), sizeof halves);
    return H::combine(std::move(state), halves[0], halves[1]);
  }
};
static_assert(sizeof(Guid) == 16 && alignof(Guid) == 1);

constexpr std::optional<Guid> Guid::FromString(std::string_view text) {
  // Where each wire byte's two digits stand in the text.
  constexpr int kOffsets[16] = {6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34};
  if (text.size() == 38 && text.front() == '{' && text.back() == '}') text = text.substr(1, 36);
  if (text.size() != 36) return std::nullopt;
  if (text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-') return std::nullopt;
  auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  Guid guid;
  for (int i = 0; i < 16; ++i) {
    const int high = digit(text[kOffsets[i]]);
    const int low = digit(text[kOffsets[i] + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    guid.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return guid;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BASE_GUID_H_
