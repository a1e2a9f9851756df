// How the memory of one block request is cut into what single SCSI commands may carry. Source: protocol 10 section 5.1:
// one range of guest pages, where only the first segment may begin and the last end inside a page.
//
//   SegmentCursor at;
//   const Piece piece = NextPiece(request.segments, at, bytes_left, limits);
//   ... segments from piece.at on, piece.bytes of them, through a bounce buffer when piece.bounce ...
//   at = Advance(request.segments, piece.at, piece.bytes);
//
// Thread safety: pure functions. Segments hold at least as many bytes as are asked of them.
#ifndef VMBUSKIT_DEVICES_STORVSC_SCSI_PIECES_H_
#define VMBUSKIT_DEVICES_STORVSC_SCSI_PIECES_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "framework/interfaces/block_device.h"

namespace vmbuskit {

// A byte in a list of segments; skip is below the segment's size unless it is the end.
struct SegmentCursor {
  size_t index = 0;
  uint32_t skip = 0;
  friend bool operator==(const SegmentCursor&, const SegmentCursor&) = default;
};

struct PieceLimits {
  uint32_t block_bytes = 512;
  uint32_t max_bytes = 0;     // of a command, at least a block
  uint32_t bounce_bytes = 0;  // of a bounce buffer; 0: there is none
};

struct Piece {
  SegmentCursor at;    // where it begins: not in an empty segment
  uint32_t bytes = 0;  // whole blocks; 0: it cannot be carried
  bool bounce = false;
  friend bool operator==(const Piece&, const Piece&) = default;
};

// The longest piece that goes without a copy; one through a bounce buffer where that would be less than a page and
// not all that is wanted.
Piece NextPiece(std::span<const BlockSegment> segments, SegmentCursor at, uint64_t left,
                const PieceLimits& limits);

SegmentCursor Advance(std::span<const BlockSegment> segments, SegmentCursor at, uint64_t bytes);

// Between consecutive bytes and those of the segments from `at` on.
void CopyFromSegments(std::span<const BlockSegment> segments, SegmentCursor at,
                      std::span<std::byte> to);
void CopyToSegments(std::span<const std::byte> from, std::span<const BlockSegment> segments,
                    SegmentCursor at);

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SCSI_PIECES_H_
