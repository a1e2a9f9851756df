#include "framework/task/deadline.h"

#include "absl/strings/str_cat.h"

namespace vmbuskit {

std::string FormatDuration(Duration duration) {
  const double count = static_cast<double>(duration.count());
  if (count >= 1e9) return absl::StrCat(count / 1e9, " s");
  if (count >= 1e6) return absl::StrCat(count / 1e6, " ms");
  if (count >= 1e3) return absl::StrCat(count / 1e3, " us");
  return absl::StrCat(duration.count(), " ns");
}

}  // namespace vmbuskit
