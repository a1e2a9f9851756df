// A ring the way most drivers have it, for the benchmark to compare with: copies in two parts
// around the wrap, space reserved with a compare-and-swap and committed in order by spinning, peer
// indices read per packet, a full fence and a signal check per packet on both sides. Same wire
// format.
//
//   BaselineWriter writer(ring); bool signal = false;
//   writer.Write(42, payload, signal);
//
// Thread safety: any number of producer threads per writer, one consumer thread per reader.
// Ownership: the ring memory outlives both; the data area is used as if mapped once.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_RING_BASELINE_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_RING_BASELINE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "framework/channel/ring_memory.h"

namespace vmbuskit {

class BaselineWriter {
 public:
  explicit BaselineWriter(const RingMemory& memory, uint32_t start_index = 0)
      : memory_(memory), reserved_index_(start_index) {}

  // False when full. Sets `signal` when the peer must be signalled.
  bool Write(uint64_t transaction_id, std::span<const std::byte> payload, bool& signal);

 private:
  uint32_t Put(uint32_t index, const void* source, uint32_t count);

  const RingMemory memory_;
  uint32_t reserved_index_;  // where the next producer reserves
};

class BaselineReader {
 public:
  explicit BaselineReader(const RingMemory& memory) : memory_(memory) {}

  // Copies the next packet's payload. Its size; negative when there is none or it is bad.
  int Read(std::span<std::byte> payload, uint64_t& transaction_id, bool& signal);

 private:
  uint32_t Get(uint32_t index, void* to, uint32_t count) const;
  uint32_t Readable() const;

  const RingMemory memory_;
  uint32_t read_index_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_RING_BASELINE_H_
