// The one form of a register access that raises #GP on a real processor: InvalidArgument naming register, value
// and rule (protocol 01 section 2, "Rules").
//
//   return GeneralProtection(kRegHypercall, value, "reserved bits are set");
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_GENERAL_PROTECTION_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_GENERAL_PROTECTION_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"

namespace vmbuskit {

inline absl::Status GeneralProtection(uint32_t reg, uint64_t value, std::string_view rule) {
  return absl::InvalidArgumentError(absl::StrCat("register 0x", absl::Hex(reg), ": value 0x",
                                                 absl::Hex(value), ": ", ToAbsl(rule)));
}
inline absl::Status GeneralProtection(uint32_t reg, std::string_view rule) {
  return absl::InvalidArgumentError(
      absl::StrCat("register 0x", absl::Hex(reg), ": ", ToAbsl(rule)));
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_GENERAL_PROTECTION_H_
