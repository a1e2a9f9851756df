#include "tools/vmbus/frame.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"

namespace vmbuskit {

std::string EncodeFrame(std::string_view body) {
  std::string frame;
  for (size_t i = 0; i < kFrameHeaderBytes; ++i) {
    frame += static_cast<char>(static_cast<uint32_t>(body.size()) >> (8 * i));
  }
  frame += body;
  return frame;
}

absl::Status FrameReader::Feed(std::string_view bytes) {
  if (header_.size() < kFrameHeaderBytes) {
    const size_t taken = std::min(kFrameHeaderBytes - header_.size(), bytes.size());
    header_ += bytes.substr(0, taken);
    bytes.remove_prefix(taken);
    if (header_.size() < kFrameHeaderBytes) return absl::OkStatus();
    for (size_t i = 0; i < kFrameHeaderBytes; ++i) {
      body_bytes_ |= size_t{static_cast<uint8_t>(header_[i])} << (8 * i);
    }
    if (body_bytes_ > body_bytes_max_) {
      return absl::InvalidArgumentError(absl::StrCat(ToAbsl(what_), ": length is ", body_bytes_,
                                                     " bytes, the limit is ", body_bytes_max_));
    }
  }
  const size_t missing = body_bytes_ - std::min(body_.size(), body_bytes_);
  if (bytes.size() > missing) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToAbsl(what_), ": ", bytes.size() - missing, " bytes after its end"));
  }
  body_ += bytes;
  return absl::OkStatus();
}

absl::Status FrameReader::End() const {
  if (complete()) return absl::OkStatus();
  if (header_.size() < kFrameHeaderBytes) {
    return absl::DataLossError(absl::StrCat(ToAbsl(what_), ": ended after ", header_.size(), " of ",
                                            kFrameHeaderBytes, " bytes of its length"));
  }
  return absl::DataLossError(
      absl::StrCat(ToAbsl(what_), ": ended after ", body_.size(), " of ", body_bytes_, " bytes"));
}

}  // namespace vmbuskit
