// The consumer's end of a ring. Source: protocol 02 sections 7.4, 7.6 and 8.3.
//
//   reader.Mask();
//   while (reader.Next(packet) == ReadResult::kPacket) Handle(packet);
//   if (reader.Commit()) SignalPeer();
//   if (reader.Unmask()) DrainAgain();              // data came meanwhile; else the peer will
//   signal
//
// Each packet is copied once into a private buffer; its lengths are taken from one read of the
// descriptor and checked before they are used. The peer's write index is cached and read again only
// when the known packets run out.
//
// Thread safety: one thread (the owning executor); the peer is another one and is not trusted.
// Ownership: the ring memory outlives the reader. Allocates its buffer at construction, nothing
// later. Errors: an index or descriptor that breaks a rule ends the ring: kCorrupt from then on,
// violation() says why.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_RING_READER_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_RING_READER_H_

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "framework/channel/packet.h"
#include "framework/channel/ring_copy.h"
#include "framework/channel/ring_memory.h"

namespace vmbuskit {

enum class ReadResult {
  kPacket,
  kEmpty,
  kCorrupt,  // violation()
};

class RingReader {
 public:
  struct Options {
    // Larger packets (descriptor, extension and payload) are a violation.
    uint32_t max_packet_bytes = 4096 + 512;
    // The guest's end skips packets of unknown type or flags and counts them, and signals freed
    // space only to a host that sets the feature bit. The host's end (as OpenVMM) fails on them,
    // and does not ask for the bit.
    bool guest_end = true;
  };

  // Starts at the indices found in memory, masked: the first Unmask tells about what lies there
  // already.
  RingReader(const RingMemory& memory, const Options& options);
  RingReader(const RingReader&) = delete;
  RingReader& operator=(const RingReader&) = delete;

  // The next packet, as a private copy that is valid until the following call.
  [[nodiscard]] ReadResult Next(Packet& packet);

  // The same without a copy: the spans show the ring itself until Commit. Only for a peer that is
  // trusted not to change what it published, as in the single-threaded simulator.
  [[nodiscard]] ReadResult NextInPlace(Packet& packet);

  // True when there is something to read, or the ring is corrupt, which Next tells.
  bool Readable() { return available_ != 0 || !Refresh() || available_ != 0; }

  // Gives the space of all packets read so far back to the producer. True: signal the peer, which
  // waits for space and now has it.
  [[nodiscard]] bool Commit();

  // While masked the peer does not signal new packets.
  void Mask() { RingWord(words_.interrupt_mask).store(1, std::memory_order_relaxed); }
  // Everything read must be committed. True: there is something to read (or the ring is corrupt),
  // and since no signal may come for it the caller must go on; false: the peer will signal.
  [[nodiscard]] bool Unmask();

  // Bytes known to be readable; another look at the write index may find more.
  uint32_t available_bytes() const { return available_; }
  // Packets of unknown type or flags that were skipped.
  uint64_t ignored() const { return ignored_; }
  const RingViolation& violation() const { return violation_; }

 private:
  // The first word of a descriptor, read once.
  struct Head {
    uint64_t word;
    uint32_t type() const { return word & 0xFFFF; }
    uint32_t offset() const { return (word >> 16 & 0xFFFF) * 8; }
    uint32_t length() const { return (word >> 32 & 0xFFFF) * 8; }
    uint32_t flags() const { return word >> 48; }
  };

  template <bool kCopy>
  ReadResult Read(Packet& packet);
  bool Acceptable(Head head) const;
  // Looks at the peer's write index. False: corrupt.
  bool Refresh();
  bool RejectWriteIndex(uint32_t write_index);  // returns false
  ReadResult Reject(Head head);
  void Advance(uint32_t bytes);
  bool CrossedPending(uint32_t consumed, uint32_t pending);
  ReadResult Fail(const char* field, uint64_t value, const char* rule);

  RingControl& words_;
  std::byte* const data_;
  const uint32_t data_bytes_;
  uint32_t index_limit_;     // data_bytes_; 0 when corrupt, so that no index passes
  const uint32_t max_body_;  // largest packet without its descriptor
  // In this order, so that a compiler does not move two of them as one word that was just stored in
  // halves.
  uint32_t position_ = 0;   // of the next packet
  uint32_t committed_ = 0;  // read index as the peer sees it
  uint32_t available_ = 0;  // known readable bytes from position_ on; 0 when corrupt
  uint32_t known_ = 0;      // known readable bytes from committed_ on: consumed and available
  const bool guest_end_;
  uint64_t ignored_ = 0;
  RingViolation violation_;
  const std::unique_ptr<std::byte[]> copy_;
};

inline void RingReader::Advance(uint32_t bytes) {
  uint32_t next = position_ + bytes;
  if (next >= data_bytes_) next -= data_bytes_;
  position_ = next;
  available_ -= bytes;
}

inline bool RingReader::Refresh() {
  // Sequentially consistent for Unmask and Commit; on x86 and arm64 that costs no more than
  // acquire.
  const uint32_t write_index = RingWord(words_.write_index).load(std::memory_order_seq_cst);
  if (!IsRingIndex(write_index, index_limit_)) [[unlikely]]
    return RejectWriteIndex(write_index);
  // Seen from the published read index, where the producer's space ends, what is readable only
  // grows.
  const uint32_t readable = RingDistance(committed_, write_index, data_bytes_);
  if (readable < known_) [[unlikely]]
    return RejectWriteIndex(write_index);
  available_ += readable - known_;
  known_ = readable;
  return true;
}

inline bool RingReader::Acceptable(Head head) const {
  constexpr uint32_t kKnownTypes = 1u << 6 | 1u << 7 | 1u << 9 | 1u << 0xB;
  constexpr uint64_t kNeverSet = 0xFFFE'0000'0000'FFE0;  // flags but bit 0, types from 32 on
  const uint32_t length = head.length();
  // Unsigned: a length below the descriptor's is huge here.
  const uint32_t body = length - static_cast<uint32_t>(sizeof(PacketDescriptor));
  return body <= max_body_ && length + kPacketTrailerBytes <= available_ &&
         head.offset() - static_cast<uint32_t>(sizeof(PacketDescriptor)) <= body &&
         (head.word & kNeverSet) == 0 && (kKnownTypes >> head.type() & 1) != 0;
}

template <bool kCopy>
inline __attribute__((always_inline)) ReadResult RingReader::Read(Packet& packet) {
  if (available_ == 0) [[unlikely]] {
    if (!Refresh()) [[unlikely]]
      return ReadResult::kCorrupt;
    if (available_ == 0) return ReadResult::kEmpty;
  }
  std::byte* start;
  Head head;
  for (;;) {
    start = data_ + position_;
    head.word = RingQword(start).load(std::memory_order_relaxed);
    if (Acceptable(head)) [[likely]]
      break;
    // Every turn skips a packet of a known span, so this ends.
    if (const ReadResult result = Reject(head); result != ReadResult::kPacket) return result;
  }
  const uint32_t length = head.length();
  const uint32_t body = length - static_cast<uint32_t>(sizeof(PacketDescriptor));
  const uint32_t extension = head.offset() - static_cast<uint32_t>(sizeof(PacketDescriptor));
  const std::byte* from = start + sizeof(PacketDescriptor);
  Advance(length + kPacketTrailerBytes);
  packet.type = static_cast<PacketType>(head.type());
  packet.completion_requested = (head.word >> 48) != 0;
  packet.transaction_id = RingQword(start + 8).load(std::memory_order_relaxed);
  if constexpr (kCopy) {
    std::byte* const copy = copy_.get();
    CopyBytes(copy, from, body);
    // Keeps the compiler from reading shared memory again in place of the copy.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    from = copy;
  }
  packet.extension = {from, extension};
  packet.payload = {from + extension, body - extension};
  return ReadResult::kPacket;
}

inline __attribute__((always_inline)) ReadResult RingReader::Next(Packet& packet) {
  return Read<true>(packet);
}
inline __attribute__((always_inline)) ReadResult RingReader::NextInPlace(Packet& packet) {
  return Read<false>(packet);
}

inline bool RingReader::Commit() {
  const uint32_t consumed = known_ - available_;
  if (consumed == 0) return false;
  RingControl& words = words_;
  const uint32_t position = position_;
  committed_ = position;
  known_ = available_;
  // Sequentially consistent: also orders the copies before it, and the load after it (section 7.4
  // step 5).
  RingWord(words.read_index).store(position, std::memory_order_seq_cst);
  const uint32_t pending = RingWord(words.pending_send_sz).load(std::memory_order_seq_cst);
  if (pending == 0) [[likely]]
    return false;
  return CrossedPending(consumed, pending);
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_RING_READER_H_
