// Small helpers around absl::Status: early return, and the one form of error for a peer that breaks
// the rules.
//
//   VMBUSKIT_RETURN_IF_ERROR(channel.Open());
//   return Violation("ring \"echo\" incoming", "write_index", index);
#ifndef VMBUSKIT_FRAMEWORK_BASE_STATUS_H_
#define VMBUSKIT_FRAMEWORK_BASE_STATUS_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vmbuskit {

// The other side broke a rule: DataLoss, "<subject>: <field> is <value>[: <rule>]". Fails the
// channel (or the connection) that it came over and nothing else.
absl::Status Violation(std::string_view subject, std::string_view field, uint64_t value,
                       std::string_view rule = {});

}  // namespace vmbuskit

#define VMBUSKIT_RETURN_IF_ERROR(expression)                                \
  do {                                                                      \
    if (absl::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)

// The same inside a coroutine.
#define VMBUSKIT_CO_RETURN_IF_ERROR(expression)                                \
  do {                                                                         \
    if (absl::Status status_ = (expression); !status_.ok()) co_return status_; \
  } while (false)

#endif  // VMBUSKIT_FRAMEWORK_BASE_STATUS_H_
