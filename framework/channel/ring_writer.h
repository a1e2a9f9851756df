// The producer's end of a ring. Source: protocol 02 sections 7.2, 7.3 and 7.5.
//
//   RingWriter writer(outgoing);
//   if (writer.Append(packet) == AppendResult::kFull && !writer.RequestSpace(RingBytes(packet)))
//   return;  // wait if (writer.Publish()) SignalPeer();
//
// Append copies a packet to a private position; the peer sees nothing until Publish, which costs
// one index store, one full fence and one signal decision for the whole batch. The peer's read
// index is cached and read again only when the known space runs out.
//
// Thread safety: one thread (the owning executor); the peer is another one and is not trusted.
// Ownership: the ring memory outlives the writer. Never allocates.
// Errors: a read index that breaks a rule ends the ring: kCorrupt from then on, violation() says
// why.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_RING_WRITER_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_RING_WRITER_H_

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "framework/channel/packet.h"
#include "framework/channel/ring_copy.h"
#include "framework/channel/ring_memory.h"

namespace vmbuskit {

enum class AppendResult {
  kOk,
  kFull,     // back-pressure: RequestSpace says when
  kTooBig,   // can never fit into this ring
  kCorrupt,  // violation()
};

class RingWriter {
 public:
  // Starts at the indices found in memory, sets the feature bit and clears pending_send_sz
  // (section 5.2).
  explicit RingWriter(const RingMemory& memory);
  RingWriter(const RingWriter&) = delete;
  RingWriter& operator=(const RingWriter&) = delete;

  [[nodiscard]] AppendResult Append(const OutgoingPacket& packet);

  // Makes everything appended visible to the peer. True: signal the peer.
  [[nodiscard]] bool Publish();

  // Asks the peer to signal once more than `total` bytes are free (any total >= RingBytes of the
  // refused packet and <= max_total(); a larger one, such as a quarter of the ring, avoids
  // ping-pong). True: `total` bytes fit now and nothing is pending (or the ring is corrupt, which
  // the next Append tells). The request stands until space for it was seen, or it is cancelled;
  // smaller packets may be sent meanwhile.
  [[nodiscard]] bool RequestSpace(uint32_t total);
  void CancelSpaceRequest();
  // False once space for it was seen, which Append does too.
  bool space_requested() const { return pending_ != 0; }

  // Free bytes now, the peer's latest progress included; a packet fits when its RingBytes are below
  // this. 0 when corrupt.
  uint32_t FreeBytes();

  // True when a packet of `total` RingBytes fits now, the peer's latest progress included. False
  // when corrupt.
  bool Fits(uint32_t total) { return total <= room_ || (RefreshRoom() && total <= room_); }

  // RingBytes of the largest packet that fits into the empty ring.
  uint32_t max_total() const { return max_total_; }
  uint32_t data_bytes() const { return data_bytes_; }
  // Bytes that a Publish would make visible.
  uint32_t unpublished_bytes() const { return RingDistance(published_, position_, data_bytes_); }
  const RingViolation& violation() const { return violation_; }

 private:
  AppendResult MakeRoom(size_t total);
  bool RefreshRoom();  // false: corrupt
  void Fail(const char* field, uint64_t value, const char* rule);

  RingControl& words_;
  std::byte* const data_;
  const uint32_t data_bytes_;
  const uint32_t max_total_;
  uint32_t position_ = 0;    // where the next packet goes
  uint32_t published_ = 0;   // write index as the peer sees it
  uint32_t room_ = 0;        // a packet of this many bytes surely fits; 0 when corrupt
  uint32_t read_index_ = 0;  // the peer's, as last read and checked
  uint32_t pending_ = 0;     // what pending_send_sz says
  RingViolation violation_;
};

inline __attribute__((always_inline)) AppendResult
RingWriter::Append(const OutgoingPacket& packet) {
  assert(packet.extension.size() % 8 == 0);
  const size_t total = RingBytes(packet);
  if (total > room_) [[unlikely]] {
    if (const AppendResult result = MakeRoom(total); result != AppendResult::kOk) return result;
  }
  const uint32_t position = position_;
  std::byte* const start = data_ + position;  // whole in one piece: the data area is mapped twice
  uint32_t next = position + static_cast<uint32_t>(total);
  if (next >= data_bytes_) next -= data_bytes_;
  position_ = next;
  room_ -= static_cast<uint32_t>(total);

  const size_t header = sizeof(PacketDescriptor) + packet.extension.size();
  const size_t length = total - kPacketTrailerBytes;
  // Front to back, which is what caches on their way to the peer follow best; only the zeros of the
  // padding come before the bytes that share their word.
  static_assert(kPacketFlagCompletionRequested == 1);
  const uint64_t descriptor[2] = {static_cast<uint64_t>(packet.type) | uint64_t{header} << 13 |
                                      uint64_t{length} << 29 |
                                      static_cast<uint64_t>(packet.completion_requested) << 48,
                                  packet.transaction_id};
  std::memcpy(start, descriptor, sizeof descriptor);
  if (!packet.extension.empty()) {
    CopyBytes(start + sizeof descriptor, packet.extension.data(), packet.extension.size());
  }
  if ((packet.payload.size() + packet.payload_tail.size()) % 8 != 0) {
    std::memset(start + length - 8, 0, 8);
  }
  std::byte* const payload = start + header;
  CopyBytes(payload, packet.payload.data(), packet.payload.size());
  if (!packet.payload_tail.empty()) {
    CopyBytes(payload + packet.payload.size(), packet.payload_tail.data(),
              packet.payload_tail.size());
  }
  const uint64_t trailer = uint64_t{position} << 32;
  std::memcpy(start + length, &trailer, sizeof trailer);
  return AppendResult::kOk;
}

inline bool RingWriter::Publish() {
  const uint32_t before = published_;
  const uint32_t now = position_;
  if (now == before) return false;
  RingControl& words = words_;
  published_ = now;
  // Sequentially consistent: the store must not pass the loads below, or both sides sleep (section
  // 7.3).
  RingWord(words.write_index).store(now, std::memory_order_seq_cst);
  if (RingWord(words.interrupt_mask).load(std::memory_order_seq_cst) != 0) return false;
  return RingWord(words.read_index).load(std::memory_order_seq_cst) == before;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_RING_WRITER_H_
