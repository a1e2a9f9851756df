#include "framework/observe/capture.h"

#include <algorithm>
#include <cstring>

namespace vmbuskit {

// In front of each packet in the ring.
struct CaptureBuffer::Entry {
  uint32_t stored_bytes;    // what follows: CaptureHeader and the packet up to the snap length
  uint32_t original_bytes;  // the same without truncation
};

CaptureBuffer::CaptureBuffer(const Executor& executor, Options options)
    : executor_(executor),
      snap_bytes_(std::max<uint32_t>(options.snap_bytes, sizeof(PacketDescriptor))),
      bytes_(std::max(options.bytes, sizeof(Entry) + sizeof(CaptureHeader) + snap_bytes_)),
      scratch_(sizeof(CaptureHeader) + snap_bytes_) {}

void CaptureBuffer::Append(uint32_t relid, CaptureDirection direction,
                           const OutgoingPacket& packet) {
  const size_t ring_bytes = RingBytes(packet) - kPacketTrailerBytes;
  const PacketDescriptor descriptor{
      .type = static_cast<uint16_t>(packet.type),
      .offset8 = static_cast<uint16_t>((sizeof(PacketDescriptor) + packet.extension.size()) / 8),
      .len8 = static_cast<uint16_t>(ring_bytes / 8),
      .flags = packet.completion_requested ? kPacketFlagCompletionRequested : uint16_t{0},
      .transaction_id = packet.transaction_id};
  const size_t whole = sizeof descriptor + packet.extension.size() + packet.payload.size() +
                       packet.payload_tail.size();
  size_t left = std::min<size_t>(whole, snap_bytes_);

  const Entry entry{static_cast<uint32_t>(sizeof(CaptureHeader) + left),
                    static_cast<uint32_t>(sizeof(CaptureHeader) + whole)};
  while (bytes_.size() - used_ < sizeof entry + entry.stored_bytes) {
    DropFirst(First());
    ++lost_;
  }
  const CaptureHeader header{relid, direction, 1, sizeof(CaptureHeader),
                             static_cast<uint64_t>(executor_.Now().time_since_epoch().count())};
  CopyIn(&entry, sizeof entry);
  CopyIn(&header, sizeof header);
  for (std::span<const std::byte> part : {std::as_bytes(std::span(&descriptor, 1)),
                                          packet.extension, packet.payload, packet.payload_tail}) {
    const size_t size = std::min(left, part.size());
    CopyIn(part.data(), size);
    left -= size;
  }
  ++packets_;
  ++captured_;
}

absl::Status CaptureBuffer::Drain(PcapngWriter& writer) {
  while (packets_ != 0) {
    const Entry entry = First();
    CopyOut(first_ + sizeof entry, scratch_.data(), entry.stored_bytes);
    CaptureHeader header;
    std::memcpy(&header, scratch_.data(), sizeof header);
    absl::Status status = writer.Write({.timestamp_ns = header.timestamp_ns,
                                        .outbound = header.direction == CaptureDirection::kSent,
                                        .original_bytes = entry.original_bytes,
                                        .lost_before = lost_ - lost_told_,
                                        .data = std::span(scratch_).first(entry.stored_bytes)});
    if (!status.ok()) return status;
    lost_told_ = lost_;
    DropFirst(entry);
  }
  return absl::OkStatus();
}

void CaptureBuffer::CopyIn(const void* data, size_t size) {
  if (size == 0) return;
  const size_t at = (first_ + used_) % bytes_.size();
  const size_t until_end = std::min(size, bytes_.size() - at);
  std::memcpy(bytes_.data() + at, data, until_end);
  if (until_end < size) {
    std::memcpy(bytes_.data(), static_cast<const std::byte*>(data) + until_end, size - until_end);
  }
  used_ += size;
}

void CaptureBuffer::CopyOut(size_t position, void* data, size_t size) const {
  const size_t at = position % bytes_.size();
  const size_t until_end = std::min(size, bytes_.size() - at);
  std::memcpy(data, bytes_.data() + at, until_end);
  if (until_end < size) {
    std::memcpy(static_cast<std::byte*>(data) + until_end, bytes_.data(), size - until_end);
  }
}

CaptureBuffer::Entry CaptureBuffer::First() const {
  Entry entry;
  CopyOut(first_, &entry, sizeof entry);
  return entry;
}

void CaptureBuffer::DropFirst(const Entry& entry) {
  const size_t size = sizeof entry + entry.stored_bytes;
  first_ = (first_ + size) % bytes_.size();
  used_ -= size;
  --packets_;
}

void ChannelTap::OnOutgoing(const Channel& channel, const OutgoingPacket& packet) {
  (void)channel;
  buffer_.Append(relid_, CaptureDirection::kSent, packet);
}

void ChannelTap::OnIncoming(const Channel& channel, const Packet& packet) {
  (void)channel;
  buffer_.Append(relid_, CaptureDirection::kReceived,
                 {.type = packet.type,
                  .completion_requested = packet.completion_requested,
                  .transaction_id = packet.transaction_id,
                  .extension = packet.extension,
                  .payload = packet.payload});
}

}  // namespace vmbuskit
