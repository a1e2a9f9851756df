#include "framework/channel/ring_reader.h"

#include <algorithm>

namespace vmbuskit {

RingReader::RingReader(const RingMemory& memory, const Options& options)
    : words_(memory.words()),
      data_(memory.data),
      data_bytes_(memory.data_bytes),
      index_limit_(memory.data_bytes),
      max_body_(std::clamp<uint32_t>(options.max_packet_bytes, sizeof(PacketDescriptor),
                                     memory.data_bytes - 8 - kPacketTrailerBytes) -
                sizeof(PacketDescriptor)),
      guest_end_(options.guest_end),
      copy_(std::make_unique<std::byte[]>(max_body_)) {
  assert(data_bytes_ >= kRingPageBytes && data_bytes_ % kRingPageBytes == 0);
  Mask();
  const uint32_t read_index = RingWord(words_.read_index).load(std::memory_order_relaxed);
  if (!IsRingIndex(read_index, data_bytes_)) {
    Fail("read_index", read_index, "must be a multiple of 8 inside the ring");
    return;
  }
  position_ = committed_ = read_index;
}

ReadResult RingReader::Fail(const char* field, uint64_t value, const char* rule) {
  if (!violation_) violation_ = {field, value, rule};
  known_ -= available_;  // what was consumed can still be committed
  available_ = 0;
  index_limit_ = 0;
  return ReadResult::kCorrupt;
}

bool RingReader::RejectWriteIndex(uint32_t write_index) {
  Fail("write_index", write_index,
       IsRingIndex(write_index, data_bytes_) ? "must not move back"
                                             : "must be a multiple of 8 inside the ring");
  return false;
}

ReadResult RingReader::Reject(Head head) {
  const uint32_t length = head.length();
  if (available_ < kMinRingBytes) {
    return Fail("readable bytes", available_, "packets are published whole, at least 24 bytes");
  }
  if (length < sizeof(PacketDescriptor)) return Fail("len8", length / 8, "must be at least 2");
  if (length + kPacketTrailerBytes > available_) {
    return Fail("len8", length / 8, "must not reach past the write index");
  }
  if (length - sizeof(PacketDescriptor) > max_body_)
    return Fail("len8", length / 8, "above the channel's largest packet");
  if (head.offset() < sizeof(PacketDescriptor)) {
    return Fail("offset8", head.offset() / 8, "must be at least 2");
  }
  if (head.offset() > length) return Fail("offset8", head.offset() / 8, "must not exceed len8");
  if (!guest_end_) {
    const bool flags = head.flags() > kPacketFlagCompletionRequested;
    return Fail(flags ? "packet flags" : "packet type", flags ? head.flags() : head.type(),
                "unknown");
  }
  ++ignored_;
  Advance(length + kPacketTrailerBytes);
  return available_ != 0 ? ReadResult::kPacket : ReadResult::kEmpty;
}

bool RingReader::CrossedPending(uint32_t consumed, uint32_t pending) {
  const uint32_t features = RingWord(words_.feature_bits).load(std::memory_order_relaxed);
  if (guest_end_ && (features & kRingFeaturePendingSend) == 0) return false;
  if (!Refresh()) return false;
  const uint32_t new_free = data_bytes_ - available_;
  const uint32_t old_free = new_free - std::min(consumed, new_free);
  return old_free <= pending && new_free > pending;
}

bool RingReader::Unmask() {
  assert(position_ == committed_);
  RingWord(words_.interrupt_mask).store(0, std::memory_order_seq_cst);
  return !Refresh() || available_ != 0;
}

}  // namespace vmbuskit
