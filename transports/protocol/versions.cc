#include "transports/protocol/versions.h"

#include "absl/strings/str_cat.h"

namespace vmbuskit {

std::string VersionText(uint32_t version) {
  return absl::StrCat(version >> 16, ".", version & 0xFFFF);
}

}  // namespace vmbuskit
