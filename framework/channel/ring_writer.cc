#include "framework/channel/ring_writer.h"

#include <algorithm>

namespace vmbuskit {

RingWriter::RingWriter(const RingMemory& memory)
    : words_(memory.words()),
      data_(memory.data),
      data_bytes_(memory.data_bytes),
      max_total_(std::min(memory.data_bytes - 8, kMaxRingBytes)) {
  assert(data_bytes_ >= kRingPageBytes && data_bytes_ % kRingPageBytes == 0);
  RingWord(words_.pending_send_sz).store(0, std::memory_order_relaxed);
  RingWord(words_.feature_bits).fetch_or(kRingFeaturePendingSend, std::memory_order_relaxed);
  const uint32_t write_index = RingWord(words_.write_index).load(std::memory_order_relaxed);
  const uint32_t read_index = RingWord(words_.read_index).load(std::memory_order_acquire);
  if (!IsRingIndex(write_index, data_bytes_)) {
    Fail("write_index", write_index, "must be a multiple of 8 inside the ring");
    return;
  }
  if (!IsRingIndex(read_index, data_bytes_)) {
    Fail("read_index", read_index, "must be a multiple of 8 inside the ring");
    return;
  }
  position_ = published_ = write_index;
  read_index_ = read_index;
  RefreshRoom();
}

void RingWriter::Fail(const char* field, uint64_t value, const char* rule) {
  if (!violation_) violation_ = {field, value, rule};
  room_ = 0;
}

bool RingWriter::RefreshRoom() {
  if (violation_) return false;
  const uint32_t read_index = RingWord(words_.read_index).load(std::memory_order_acquire);
  if (!IsRingIndex(read_index, data_bytes_)) {
    Fail("read_index", read_index, "must be a multiple of 8 inside the ring");
    return false;
  }
  // The consumer moves between the place last seen and what was published, never past it and never
  // back.
  if (RingDistance(read_index, published_, data_bytes_) >
      RingDistance(read_index_, published_, data_bytes_)) {
    Fail("read_index", read_index, "must not move back or pass the write index");
    return false;
  }
  read_index_ = read_index;
  // Everything is a multiple of 8, so "free > total" (strict, section 7.2) is "total <= free - 8".
  const uint32_t used = RingDistance(read_index, position_, data_bytes_);
  const uint32_t space = data_bytes_ - used - 8;
  room_ = std::min(space, max_total_);
  if (pending_ != 0 && space >= pending_) CancelSpaceRequest();
  return true;
}

AppendResult RingWriter::MakeRoom(size_t total) {
  if (violation_) return AppendResult::kCorrupt;
  if (total > max_total_) return AppendResult::kTooBig;
  if (!RefreshRoom()) return AppendResult::kCorrupt;
  return total <= room_ ? AppendResult::kOk : AppendResult::kFull;
}

bool RingWriter::RequestSpace(uint32_t total) {
  assert(total <= max_total_ && total != 0);
  if (!RefreshRoom() || total <= room_) {
    CancelSpaceRequest();
    return true;
  }
  pending_ = total;
  // Sequentially consistent, as is the consumer's "store read_index, load pending_send_sz": one of
  // the two sees the other's store (section 7.5).
  RingWord(words_.pending_send_sz).store(total, std::memory_order_seq_cst);
  if (RingWord(words_.read_index).load(std::memory_order_seq_cst) == read_index_) return false;
  if (!RefreshRoom()) return true;
  return pending_ == 0;  // RefreshRoom cleared it: it fits
}

void RingWriter::CancelSpaceRequest() {
  if (pending_ == 0) return;
  pending_ = 0;
  RingWord(words_.pending_send_sz).store(0, std::memory_order_relaxed);
}

uint32_t RingWriter::FreeBytes() {
  if (!RefreshRoom()) return 0;
  return data_bytes_ - RingDistance(read_index_, position_, data_bytes_);
}

}  // namespace vmbuskit
