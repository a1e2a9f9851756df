// The control socket's framing: four bytes of length, little-endian, then that many bytes of JSON.
//
//   socket.Write(EncodeFrame(R"({"command":"ls"})"));
//   FrameReader reader("request", kRequestBytesMax);
//   if (absl::Status fed = reader.Feed(bytes); !fed.ok()) ...   // names length, limit
//   if (reader.complete()) Handle(reader.body());
//
// Sans-IO: bytes in, bytes out. A connection carries one frame each way, so bytes after the frame
// are an error.
// Thread safety: none.
#ifndef VMBUSKIT_TOOLS_VMBUS_FRAME_H_
#define VMBUSKIT_TOOLS_VMBUS_FRAME_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace vmbuskit {

inline constexpr size_t kFrameHeaderBytes = 4;
inline constexpr size_t kRequestBytesMax = 4096;
inline constexpr size_t kResponseBytesMax = 16 * 1024 * 1024;

std::string EncodeFrame(std::string_view body);

class FrameReader {
 public:
  // `what` stands in errors; a body above `body_bytes_max` is refused before any of it is kept.
  FrameReader(std::string_view what, size_t body_bytes_max)
      : what_(what), body_bytes_max_(body_bytes_max) {}

  // Takes the next bytes of the stream. InvalidArgument when they break the framing.
  absl::Status Feed(std::string_view bytes);
  // The stream ended: DataLoss, with how much is there and how much is missing, unless the frame is
  // complete.
  absl::Status End() const;

  bool complete() const {
    return header_.size() == kFrameHeaderBytes && body_.size() == body_bytes_;
  }
  const std::string& body() const { return body_; }

 private:
  const std::string_view what_;
  const size_t body_bytes_max_;
  std::string header_;
  size_t body_bytes_ = 0;
  std::string body_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_FRAME_H_
