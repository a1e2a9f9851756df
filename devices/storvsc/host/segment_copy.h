// Moves bytes between the segments of a request and memory in a row, a part of the request at a time.
//
//   CopySegments(request, /*skip=*/done, flat.data(), bytes);   // a write: out of the segments; a read: into them
//
// Thread safety: none needed. Units: bytes; `skip` + `bytes` are at most request.bytes.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_SEGMENT_COPY_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_SEGMENT_COPY_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "framework/interfaces/block_device.h"

namespace vmbuskit {

inline void CopySegments(const BlockRequest& request, uint64_t skip, std::byte* flat,
                         uint64_t bytes) {
  for (const BlockSegment& segment : request.segments) {
    if (skip >= segment.bytes) {
      skip -= segment.bytes;
      continue;
    }
    const uint64_t part = std::min(bytes, segment.bytes - skip);
    std::byte* const at = segment.data + skip;
    if (request.operation == BlockOperation::kWrite) {
      std::memcpy(flat, at, part);
    } else {
      std::memcpy(at, flat, part);
    }
    flat += part;
    bytes -= part;
    skip = 0;
    if (bytes == 0) return;
  }
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_SEGMENT_COPY_H_
