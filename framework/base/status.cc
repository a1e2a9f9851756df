#include "framework/base/status.h"

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"

namespace vmbuskit {

absl::Status Violation(std::string_view subject, std::string_view field, uint64_t value,
                       std::string_view rule) {
  return absl::DataLossError(absl::StrCat(ToAbsl(subject), ": ", ToAbsl(field), " is ", value,
                                          rule.empty() ? "" : ": ", ToAbsl(rule)));
}

}  // namespace vmbuskit
