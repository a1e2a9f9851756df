// The last errors of a VMBus server, each with message, field and value, and how many there were.
//
//   errors.Add(Violation("OPEN_CHANNEL", "relid", 9, "not offered"));
//   for (const std::string& text : errors.last()) ...
//
// Bounded. Thread safety: none; the server's. Source: protocol 02 section 3.4 (errors are logged, not answered).
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_ERRORS_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_ERRORS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "absl/status/status.h"

namespace vmbuskit {

class ServerErrors {
 public:
  explicit ServerErrors(size_t count_max) : count_max_(count_max) {}

  void Add(const absl::Status& error) {
    ++count_;
    if (count_max_ == 0) return;
    if (last_.size() == count_max_) last_.pop_front();
    last_.emplace_back(error.message());
  }

  void Clear() {
    count_ = 0;
    last_.clear();
  }
  // Saves, or takes over what was saved; with StateWriter or StateReader.
  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(count_);
    const size_t kept = archive.Count("errors kept", last_.size(), count_max_);
    if (Archive::kLoading) last_.resize(kept);
    for (std::string& text : last_) archive(text);
  }

  uint64_t count() const { return count_; }
  const std::deque<std::string>& last() const { return last_; }  // oldest first

 private:
  const size_t count_max_;
  uint64_t count_ = 0;
  std::deque<std::string> last_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_ERRORS_H_
