#include "framework/base/status.h"

#include "absl/strings/str_cat.h"

namespace vmbuskit {

absl::Status Violation(std::string_view subject, std::string_view field, uint64_t value,
                       std::string_view rule) {
  return absl::DataLossError(absl::StrCat(subject, ": ", field, " is ", value,
                                          rule.empty() ? "" : ": ", rule));
}

}  // namespace vmbuskit
