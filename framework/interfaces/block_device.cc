#include "framework/interfaces/block_device.h"

#include <algorithm>

namespace vmbuskit {
namespace {

bool MovesData(BlockOperation operation) {
  return operation == BlockOperation::kRead || operation == BlockOperation::kWrite;
}

bool Changes(BlockOperation operation) {
  return operation == BlockOperation::kWrite || operation == BlockOperation::kDiscard ||
         operation == BlockOperation::kWriteZeroes;
}

uint64_t TotalBytes(std::span<const BlockSegment> segments) {
  uint64_t total = 0;
  for (const BlockSegment& segment : segments) total += segment.bytes;
  return total;
}

BlockResult CheckForm(const BlockRequest& request, const BlockInfo& info) {
  if (request.bytes == 0 || request.offset % info.block_bytes != 0 ||
      request.bytes % info.block_bytes != 0) {
    return BlockResult::kInvalid;
  }
  if (MovesData(request.operation) && TotalBytes(request.segments) != request.bytes)
    return BlockResult::kInvalid;
  if (request.operation == BlockOperation::kStatus && request.extents.empty())
    return BlockResult::kInvalid;
  return BlockResult::kOk;
}

}  // namespace

std::string_view ToString(BlockOperation operation) {
  switch (operation) {
    case BlockOperation::kRead:
      return "read";
    case BlockOperation::kWrite:
      return "write";
    case BlockOperation::kFlush:
      return "flush";
    case BlockOperation::kDiscard:
      return "discard";
    case BlockOperation::kWriteZeroes:
      return "write zeroes";
    case BlockOperation::kStatus:
      return "block status";
  }
  return "unknown";
}

std::string_view ToString(BlockResult result) {
  switch (result) {
    case BlockResult::kOk:
      return "ok";
    case BlockResult::kInvalid:
      return "invalid request";
    case BlockResult::kOutOfRange:
      return "out of range";
    case BlockResult::kReadOnly:
      return "read only";
    case BlockResult::kNotSupported:
      return "not supported";
    case BlockResult::kMediumError:
      return "medium error";
    case BlockResult::kNoSpace:
      return "no space";
    case BlockResult::kConflict:
      return "reservation conflict";
    case BlockResult::kAborted:
      return "aborted";
    case BlockResult::kTimedOut:
      return "timed out";
    case BlockResult::kGone:
      return "device gone";
    case BlockResult::kLost:
      return "device gone, memory lost";
  }
  return "unknown";
}

BlockResult CheckBlockRequest(const BlockRequest& request, const BlockInfo& info,
                              uint64_t device_bytes) {
  if (request.operation == BlockOperation::kFlush) {
    return request.bytes == 0 ? BlockResult::kOk : BlockResult::kInvalid;
  }
  if (const BlockResult form = CheckForm(request, info); form != BlockResult::kOk) return form;
  if (Changes(request.operation) && info.read_only) return BlockResult::kReadOnly;
  if (request.offset > device_bytes || request.bytes > device_bytes - request.offset) {
    return BlockResult::kOutOfRange;
  }
  return BlockResult::kOk;
}

}  // namespace vmbuskit
