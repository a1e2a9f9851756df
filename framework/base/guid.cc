#include "framework/base/guid.h"

namespace vmbuskit {

std::string Guid::ToString() const {
  constexpr char kDigits[] = "0123456789abcdef";
  // Wire bytes in the order that the text shows them; -1 is a dash.
  constexpr int kOrder[] = {3, 2, 1, 0, -1, 5, 4, -1, 7, 6, -1, 8, 9, -1, 10, 11, 12, 13, 14, 15};
  std::string text;
  text.reserve(36);
  for (int index : kOrder) {
    if (index < 0) {
      text += '-';
    } else {
      text += kDigits[bytes[index] >> 4];
      text += kDigits[bytes[index] & 15];
    }
  }
  return text;
}

}  // namespace vmbuskit
