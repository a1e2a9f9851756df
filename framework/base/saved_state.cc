#include "framework/base/saved_state.h"

#include "framework/base/status.h"

namespace vmbuskit {

void StateReader::Fail(std::string_view field, uint64_t value, std::string_view rule) {
  if (!std::exchange(ok_, false)) return;
  status_ = Violation("saved state", field, value, rule);
}

absl::Status StateReader::Finish() {
  if (!rest().empty()) Fail("bytes left", rest().size(), "nothing else is expected");
  return status_;
}

}  // namespace vmbuskit
