// Debian's Abseil has a string view of its own; the rest of the code uses the standard one.
//
//   absl::StrCat("channel ", ToAbsl(name))
#ifndef VMBUSKIT_FRAMEWORK_BASE_STRING_VIEW_H_
#define VMBUSKIT_FRAMEWORK_BASE_STRING_VIEW_H_

#include <string_view>

#include "absl/strings/string_view.h"

namespace vmbuskit {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BASE_STRING_VIEW_H_
