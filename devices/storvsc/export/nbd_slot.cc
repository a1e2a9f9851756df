#include "devices/storvsc/export/nbd_slot.h"

#include <algorithm>
#include <cstring>

namespace vmbuskit {
namespace {

BlockOperation OperationOf(uint16_t command) {
  switch (command) {
    case nbd::kCmdWrite:
      return BlockOperation::kWrite;
    case nbd::kCmdFlush:
      return BlockOperation::kFlush;
    case nbd::kCmdTrim:
      return BlockOperation::kDiscard;
    case nbd::kCmdWriteZeroes:
      return BlockOperation::kWriteZeroes;
    case nbd::kCmdBlockStatus:
      return BlockOperation::kStatus;
    default:
      return BlockOperation::kRead;
  }
}

uint32_t FlagsOf(const BlockExtent& extent) {
  return (extent.allocated ? 0u : nbd::kStateHole) | (extent.zero ? nbd::kStateZero : 0u);
}

}  // namespace

void NbdSlot::FillBlockRequest() {
  operation = OperationOf(request.command);
  offset = request.offset;
  bytes = request.bytes;
  may_unmap = (request.flags & nbd::kFlagNoHole) == 0;
  segments = buffer.segments();
  extent_count = 0;
  extents = {};
  if (operation != BlockOperation::kStatus) return;
  if (extent_storage_.empty()) extent_storage_.resize(kExtentsMax);
  const bool one = (request.flags & nbd::kFlagReqOne) != 0;
  extents = std::span(extent_storage_).first(one ? 1 : kExtentsMax);
}

template <typename T>
void NbdSlot::PutHead(const T& part) {
  std::memcpy(head_.data() + head_bytes_, &part, sizeof part);
  head_bytes_ += sizeof part;
}

void NbdSlot::AnswerDone(bool structured) {
  StartHead();
  if (structured && request.command == nbd::kCmdRead) {  // of zero bytes
    nbd::StructuredReply reply;
    reply.type = nbd::kReplyNone;
    reply.cookie = request.cookie;
    return PutHead(reply);
  }
  nbd::SimpleReply reply;
  reply.error = nbd::kOk;
  reply.cookie = request.cookie;
  PutHead(reply);
}

void NbdSlot::AnswerError(nbd::Error error, std::string_view message, bool structured) {
  StartHead();
  if (!structured) {
    nbd::SimpleReply reply;
    reply.error = error;
    reply.cookie = request.cookie;
    return PutHead(reply);
  }
  message = message.substr(0, kMessageBytesMax);
  nbd::StructuredReply reply;
  reply.type = nbd::kReplyError;
  reply.cookie = request.cookie;
  reply.bytes = static_cast<uint32_t>(sizeof(nbd::ErrorPayload) + message.size());
  PutHead(reply);
  nbd::ErrorPayload payload;
  payload.error = error;
  payload.message_bytes = static_cast<uint16_t>(message.size());
  PutHead(payload);
  std::memcpy(head_.data() + head_bytes_, message.data(), message.size());
  head_bytes_ += message.size();
}

void NbdSlot::AnswerData(bool structured) {
  StartHead();
  body_is_status_ = false;
  body_bytes_ = buffer.bytes();
  if (!structured) {
    nbd::SimpleReply reply;
    reply.error = nbd::kOk;
    reply.cookie = request.cookie;
    return PutHead(reply);
  }
  nbd::StructuredReply reply;
  reply.type = nbd::kReplyOffsetData;
  reply.cookie = request.cookie;
  reply.bytes = static_cast<uint32_t>(sizeof(nbd::Be64) + body_bytes_);
  PutHead(reply);
  PutHead(request.offset);
}

void NbdSlot::AddStatus(uint64_t bytes, uint32_t flags) {
  nbd::StatusDescriptor descriptor;
  descriptor.bytes = static_cast<uint32_t>(bytes);
  descriptor.flags = flags;
  status_.push_back(descriptor);
}

void NbdSlot::AnswerStatus(uint32_t context) {
  status_.clear();
  uint64_t left = request.bytes;
  for (const BlockExtent& extent : extents.first(std::min<size_t>(extent_count, extents.size()))) {
    const uint64_t part = std::min(left, extent.bytes);
    if (part == 0) break;
    AddStatus(part, FlagsOf(extent));
    left -= part;
  }
  if (status_.empty()) AddStatus(left, 0);
  StartHead();
  body_is_status_ = true;
  body_bytes_ = status_.size() * sizeof(nbd::StatusDescriptor);
  nbd::StructuredReply reply;
  reply.type = nbd::kReplyBlockStatus;
  reply.cookie = request.cookie;
  reply.bytes = static_cast<uint32_t>(sizeof(nbd::Be32) + body_bytes_);
  PutHead(reply);
  PutHead(nbd::Be32(context));
}

std::span<const std::byte> NbdSlot::AnswerFrom(size_t offset) const {
  if (offset < head_bytes_) return std::span(head_).first(head_bytes_).subspan(offset);
  const size_t inside = offset - head_bytes_;
  if (inside >= body_bytes_) return {};
  if (body_is_status_) return std::as_bytes(std::span(status_)).subspan(inside);
  return buffer.From(inside);
}

}  // namespace vmbuskit
