#include "framework/channel/ring_baseline.h"

#include <cstring>

#include "framework/channel/packet.h"

namespace vmbuskit {
namespace {

// A full fence as a locked operation on the stack, which is what "smp_mb" is on x86.
void FullFence() {
  uint32_t word = 0;
  std::atomic_ref<uint32_t>(word).exchange(1, std::memory_order_seq_cst);
}

uint32_t Advance(uint32_t index, uint32_t count, uint32_t data_bytes) {
  const uint32_t next = index + count;
  return next >= data_bytes ? next - data_bytes : next;
}

}  // namespace

uint32_t BaselineWriter::Put(uint32_t index, const void* source, uint32_t count) {
  const auto* from = static_cast<const std::byte*>(source);
  if (count > memory_.data_bytes - index) {
    const uint32_t first = memory_.data_bytes - index;
    std::memcpy(memory_.data + index, from, first);
    std::memcpy(memory_.data, from + first, count - first);
  } else if (count != 0) {
    std::memcpy(memory_.data + index, from, count);
  }
  return Advance(index, count, memory_.data_bytes);
}

bool BaselineWriter::Write(uint64_t transaction_id, std::span<const std::byte> payload,
                           bool& signal) {
  RingControl& words = memory_.words();
  const auto length = static_cast<uint32_t>(AlignTo8(sizeof(PacketDescriptor) + payload.size()));
  const uint32_t total = length + kPacketTrailerBytes;
  const PacketDescriptor descriptor = {static_cast<uint16_t>(PacketType::kInBand), 2,
                                       static_cast<uint16_t>(length / 8), 0, transaction_id};
  uint32_t start = RingWord(reserved_index_).load(std::memory_order_relaxed);
  uint32_t end;
  do {
    const uint32_t read_index = RingWord(words.read_index).load(std::memory_order_acquire);
    if (memory_.data_bytes - RingDistance(read_index, start, memory_.data_bytes) <= total) {
      return false;
    }
    end = Advance(start, total, memory_.data_bytes);
  } while (!RingWord(reserved_index_).compare_exchange_weak(start, end));

  const uint64_t zeros = 0;
  const uint64_t trailer = uint64_t{start} << 32;
  uint32_t index = Put(start, &descriptor, sizeof descriptor);
  index = Put(index, payload.data(), static_cast<uint32_t>(payload.size()));
  index = Put(index, &zeros, length - static_cast<uint32_t>(sizeof descriptor + payload.size()));
  Put(index, &trailer, sizeof trailer);

  while (RingWord(words.write_index).load(std::memory_order_acquire) != start) {
  }
  RingWord(words.write_index).store(end, std::memory_order_release);
  FullFence();
  if (RingWord(words.interrupt_mask).load(std::memory_order_acquire) != 0) return true;
  if (RingWord(words.read_index).load(std::memory_order_acquire) == start) signal = true;
  return true;
}

uint32_t BaselineReader::Get(uint32_t index, void* to, uint32_t count) const {
  auto* out = static_cast<std::byte*>(to);
  if (count > memory_.data_bytes - index) {
    const uint32_t first = memory_.data_bytes - index;
    std::memcpy(out, memory_.data + index, first);
    std::memcpy(out + first, memory_.data, count - first);
  } else {
    std::memcpy(out, memory_.data + index, count);
  }
  return Advance(index, count, memory_.data_bytes);
}

uint32_t BaselineReader::Readable() const {
  const uint32_t write_index =
      RingWord(memory_.words().write_index).load(std::memory_order_acquire);
  return RingDistance(read_index_, write_index, memory_.data_bytes);
}

int BaselineReader::Read(std::span<std::byte> payload, uint64_t& transaction_id, bool& signal) {
  PacketDescriptor descriptor;
  if (Readable() < sizeof descriptor + kPacketTrailerBytes) return -1;
  const uint32_t body = Get(read_index_, &descriptor, sizeof descriptor);
  const uint32_t offset = descriptor.offset8 * 8u;
  const uint32_t length = descriptor.len8 * 8u;
  if (offset < sizeof descriptor || offset > length || length - offset > payload.size()) return -1;
  const uint32_t total = length + kPacketTrailerBytes;
  if (Readable() < total) return -1;
  Get(Advance(body, offset - static_cast<uint32_t>(sizeof descriptor), memory_.data_bytes),
      payload.data(), length - offset);
  transaction_id = descriptor.transaction_id;
  read_index_ = Advance(read_index_, total, memory_.data_bytes);
  RingWord(memory_.words().read_index).store(read_index_, std::memory_order_release);
  FullFence();
  const uint32_t pending =
      RingWord(memory_.words().pending_send_sz).load(std::memory_order_acquire);
  if (pending != 0) {
    const uint32_t free = memory_.data_bytes - Readable();
    if (free > pending && free - total <= pending) signal = true;
  }
  return static_cast<int>(length - offset);
}

}  // namespace vmbuskit
