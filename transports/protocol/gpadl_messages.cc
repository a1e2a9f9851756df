#include "transports/protocol/gpadl_messages.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"

namespace vmbuskit {

absl::StatusOr<GpadlMessages> GpadlMessages::Create(uint32_t relid, uint32_t handle,
                                                    std::span<const GpadlRange> ranges) {
  auto invalid = [handle](std::string_view field, uint64_t value, std::string_view rule) {
    return absl::InvalidArgumentError(
        absl::StrCat("GPADL ", handle, ": ", ToAbsl(field), " is ", value, ": ", ToAbsl(rule)));
  };
  if (handle == 0) return invalid("handle", handle, "never 0");
  if (ranges.empty() || ranges.size() > 0xFFFF)
    return invalid("range count", ranges.size(), "1 to 65535");
  uint64_t qwords = 0;
  for (const GpadlRange& range : ranges) {
    if (range.byte_count == 0) return invalid("byte count", 0, "at least 1");
    if (range.byte_offset >= kPageSize) {
      return invalid("byte offset", range.byte_offset, "below 4096");
    }
    const uint64_t pages = range.page_count();
    if (!range.pfns.empty() && range.pfns.size() != pages) {
      return invalid("page list length", range.pfns.size(), absl::StrCat("needs ", pages));
    }
    qwords += 1 + pages;
  }
  if (qwords * 8 > 0xFFFF) return invalid("range bytes", qwords * 8, "at most 65535");
  return GpadlMessages(relid, handle, ranges, static_cast<uint32_t>(qwords * 8));
}

bool GpadlMessages::Next(MessageBuffer& message) {
  message.Clear();
  if (!header_given_) {
    header_given_ = true;
    message = Emit(GpadlHeaderMessage{.relid = relid_,
                                      .gpadl = handle_,
                                      .range_bytes = static_cast<uint16_t>(range_bytes_),
                                      .range_count = static_cast<uint16_t>(ranges_.size())});
    AppendQwords(message, kGpadlHeaderQwords);
    return true;
  }
  if (range_ == ranges_.size()) return false;
  message = Emit(GpadlBodyMessage{.gpadl = handle_});
  AppendQwords(message, kGpadlBodyQwords);
  return true;
}

void GpadlMessages::AppendQwords(MessageBuffer& message, size_t limit) {
  for (size_t i = 0; i < limit && range_ < ranges_.size(); ++i) {
    const GpadlRange& range = ranges_[range_];
    const uint64_t qword =
        qword_ == 0 ? uint64_t{range.byte_offset} << 32 | range.byte_count : range.page(qword_ - 1);
    message.Append(std::as_bytes(std::span(&qword, 1)));
    if (++qword_ > range.page_count()) {
      qword_ = 0;
      ++range_;
    }
  }
}

uint32_t GpadlMessages::message_count() const {
  const size_t qwords = range_bytes_ / 8;
  if (qwords <= kGpadlHeaderQwords) return 1;
  return 1 + static_cast<uint32_t>((qwords - kGpadlHeaderQwords + kGpadlBodyQwords - 1) /
                                   kGpadlBodyQwords);
}

}  // namespace vmbuskit
