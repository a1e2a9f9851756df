#include "devices/storvsc/scsi_pieces.h"

#include <algorithm>
#include <cstring>

#include "platform/memory.h"

namespace vmbuskit {
namespace {

using Segments = std::span<const BlockSegment>;

SegmentCursor PastEmpty(Segments segments, SegmentCursor at) {
  while (at.index < segments.size() && at.skip >= segments[at.index].bytes) {
    at = {.index = at.index + 1, .skip = 0};
  }
  return at;
}

// Bytes from `at` on that the host can move as one range.
uint64_t DirectBytes(Segments segments, SegmentCursor at, uint64_t limit) {
  uint64_t bytes = 0;
  Gpa end = 0;
  for (; at.index < segments.size() && bytes < limit; at = {.index = at.index + 1, .skip = 0}) {
    const BlockSegment& segment = segments[at.index];
    if (segment.bytes == 0) continue;
    if (segment.gpa == BlockSegment::kNoGpa) break;
    const Gpa begin = segment.gpa + at.skip;
    if (bytes != 0 && (end % kPageSize != 0 || begin % kPageSize != 0)) break;
    bytes += segment.bytes - at.skip;
    end = segment.gpa + segment.bytes;
  }
  return std::min(bytes, limit);
}

// Bytes from `at` on to copy: up to where a whole page can go without.
uint64_t BounceBytes(Segments segments, SegmentCursor at, uint64_t limit, uint32_t block_bytes) {
  uint64_t bytes = segments[at.index].bytes - at.skip;
  for (size_t i = at.index + 1; i < segments.size() && bytes < limit; ++i) {
    const BlockSegment& segment = segments[i];
    if (bytes % block_bytes == 0 && segment.gpa != BlockSegment::kNoGpa &&
        segment.bytes >= std::max<size_t>(kPageSize, block_bytes)) {
      return bytes;
    }
    bytes += segment.bytes;
  }
  return std::min(bytes, limit);
}

template <typename Each>
void EachPart(Segments segments, SegmentCursor at, size_t bytes, Each each) {
  for (size_t done = 0; done < bytes; at = {.index = at.index + 1, .skip = 0}) {
    const BlockSegment& segment = segments[at.index];
    const size_t length = std::min<size_t>(segment.bytes - at.skip, bytes - done);
    if (length != 0) each(segment.data + at.skip, done, length);
    done += length;
  }
}

}  // namespace

Piece NextPiece(std::span<const BlockSegment> segments, SegmentCursor at, uint64_t left,
                const PieceLimits& limits) {
  at = PastEmpty(segments, at);
  const uint32_t block = limits.block_bytes;
  uint64_t limit = std::min<uint64_t>(left, limits.max_bytes - limits.max_bytes % block);
  uint64_t direct = DirectBytes(segments, at, limit);
  direct -= direct % block;
  const bool small = direct < std::min<uint64_t>(kPageSize, limit);
  if (direct != 0 && !(small && limits.bounce_bytes > direct)) {
    return {.at = at, .bytes = static_cast<uint32_t>(direct)};
  }
  limit = std::min<uint64_t>(limit, limits.bounce_bytes - limits.bounce_bytes % block);
  if (limit == 0) return {.at = at};
  const uint64_t bounced = BounceBytes(segments, at, limit, block);
  // The rest of a block belongs to what is copied, too.
  const uint64_t whole = (bounced + block - 1) / block * block;
  return {.at = at, .bytes = static_cast<uint32_t>(std::min(whole, limit)), .bounce = true};
}

SegmentCursor Advance(std::span<const BlockSegment> segments, SegmentCursor at, uint64_t bytes) {
  while (at.index < segments.size()) {
    const uint32_t here = segments[at.index].bytes - at.skip;
    if (bytes < here) {
      at.skip += static_cast<uint32_t>(bytes);
      return at;
    }
    bytes -= here;
    at = {.index = at.index + 1, .skip = 0};
  }
  return at;
}

void CopyFromSegments(std::span<const BlockSegment> segments, SegmentCursor at,
                      std::span<std::byte> to) {
  EachPart(segments, at, to.size(), [&](const std::byte* part, size_t offset, size_t length) {
    std::memcpy(to.data() + offset, part, length);
  });
}

void CopyToSegments(std::span<const std::byte> from, std::span<const BlockSegment> segments,
                    SegmentCursor at) {
  EachPart(segments, at, from.size(), [&](std::byte* part, size_t offset, size_t length) {
    std::memcpy(part, from.data() + offset, length);
  });
}

}  // namespace vmbuskit
