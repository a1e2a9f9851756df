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
  ReadResult Refresh();  // kPacket: available_ grew or was not zero
  ReadResult Reject(Head head);
  void Advance(uint32_t bytes);
  bool CrossedPending(uint32_t consumed, uint32_t pending);
  ReadResult Fail(const char* field, uint64_t value, const char* rule);

  RingControl& words_;
  std::byte* const data_;
  const uint32_t data_bytes_;
  const uint32_t max_length_;
  uint32_t position_ = 0;   // of the next packet
  uint32_t available_ = 0;  // known readable bytes from there on; 0 when corrupt
  uint32_t committed_ = 0;  // read index as the peer sees it
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

template <bool kCopy>
inline __attribute__((always_inline)) ReadResult RingReader::Read(Packet& packet) {
  constexpr uint32_t kKnownTypes = 1u << 6 | 1u << 7 | 1u << 9 | 1u << 0xB;
  if (available_ == 0) [[unlikely]] {
    if (const ReadResult result = Refresh(); result != ReadResult::kPacket) return result;
  }
  std::byte* start;
  Head head;
  for (;;) {
    start = data_ + position_;
    auto& word = *reinterpret_cast<uint64_t*>(start);
    head.word = std::atomic_ref<uint64_t>(word).load(std::memory_order_relaxed);
    const uint32_t length = head.length();
    const bool fits = length + kPacketTrailerBytes <= available_ && length <= max_length_;
    const bool shaped = head.offset() >= sizeof(PacketDescriptor) && head.offset() <= length;
    const bool known = head.type() < 32 && (kKnownTypes >> head.type() & 1) && head.flags() <= 1;
    if (fits && shaped && known) [[likely]]
      break;
    // Every turn skips at least one packet of a known span, so this ends.
    if (const ReadResult result = Reject(head); result != ReadResult::kPacket) return result;
  }
  const uint32_t length = head.length();
  const uint32_t offset = head.offset();
  auto& id = *reinterpret_cast<uint64_t*>(start + 8);
  packet.type = static_cast<PacketType>(head.type());
  packet.completion_requested = head.flags() != 0;
  packet.transaction_id = std::atomic_ref<uint64_t>(id).load(std::memory_order_relaxed);
  const std::byte* body = start + sizeof(PacketDescriptor);
  if constexpr (kCopy) {
    CopyBytes(copy_.get(), body, length - sizeof(PacketDescriptor));
    // Keeps the compiler from reading shared memory again in place of the copy.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    body = copy_.get();
  }
  const uint32_t extension = offset - static_cast<uint32_t>(sizeof(PacketDescriptor));
  packet.extension = {body, extension};
  packet.payload = {body + extension, length - offset};
  Advance(length + kPacketTrailerBytes);
  return ReadResult::kPacket;
}

inline ReadResult RingReader::Next(Packet& packet) { return Read<true>(packet); }
inline ReadResult RingReader::NextInPlace(Packet& packet) { return Read<false>(packet); }

inline bool RingReader::Commit() {
  if (position_ == committed_) return false;
  const uint32_t consumed = RingDistance(committed_, position_, data_bytes_);
  committed_ = position_;
  // Sequentially consistent: also orders the copies before it, and the load after it (section 7.4
  // step 5).
  RingWord(words_.read_index).store(position_, std::memory_order_seq_cst);
  const uint32_t pending = RingWord(words_.pending_send_sz).load(std::memory_order_seq_cst);
  if (pending == 0) [[likely]]
    return false;
  return CrossedPending(consumed, pending);
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_RING_READER_H_
