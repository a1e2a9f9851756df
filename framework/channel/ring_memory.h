// One ring as it lies in shared memory: a control page and a data area. Source: protocol 02
// section 7.1.
//
//   RingMemory ring{control, data, 16 * 4096};     // `data` shows the data pages twice in a row
//   RingWord(ring.words().write_index).load(std::memory_order_acquire);
//
// Thread safety: the words are shared with the peer and are accessed through RingWord (atomic)
// only. Ownership: a view; the transport owns the mapping and keeps it longer than every reader and
// writer. Units: bytes; an index is a byte offset into the data area, a multiple of 8, below
// data_bytes.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_RING_MEMORY_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_RING_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vmbuskit {

// The first bytes of the control page. Each side writes only its own fields.
struct RingControl {
  uint32_t write_index;      // producer
  uint32_t read_index;       // consumer
  uint32_t interrupt_mask;   // consumer: 1 = do not signal me about new packets
  uint32_t pending_send_sz;  // producer: bytes that it waits for; 0 = it does not wait
  uint32_t reserved[12];
  uint32_t feature_bits;  // producer's side
};
static_assert(offsetof(RingControl, read_index) == 4);
static_assert(offsetof(RingControl, interrupt_mask) == 8);
static_assert(offsetof(RingControl, pending_send_sz) == 12);
static_assert(offsetof(RingControl, feature_bits) == 64);

inline constexpr uint32_t kRingFeaturePendingSend = 1;  // feature_bits, bit 0
inline constexpr uint32_t kRingPageBytes = 4096;        // data areas are multiples of it

struct RingMemory {
  std::byte* control = nullptr;
  std::byte* data = nullptr;  // mapped twice in a row: 2 * data_bytes are addressable
  uint32_t data_bytes = 0;

  RingControl& words() const { return *reinterpret_cast<RingControl*>(control); }
};

#ifdef VMBUSKIT_RING_ATOMIC
// Only in the model check (tests/ring_signals), which decides what every access sees.
template <typename T>
using RingAtomic = VMBUSKIT_RING_ATOMIC<T>;
#else
template <typename T>
using RingAtomic = std::atomic_ref<T>;
#endif

inline RingAtomic<uint32_t> RingWord(uint32_t& word) { return RingAtomic<uint32_t>(word); }

// A word of a descriptor in the data area, which is 8-aligned.
inline RingAtomic<uint64_t> RingQword(std::byte* at) {
  return RingAtomic<uint64_t>(*reinterpret_cast<uint64_t*>(at));
}

// Bytes from index `from` on to index `to`; both below `data_bytes`.
constexpr uint32_t RingDistance(uint32_t from, uint32_t to, uint32_t data_bytes) {
  return to >= from ? to - from : data_bytes - (from - to);
}

constexpr bool IsRingIndex(uint32_t index, uint32_t data_bytes) {
  return index < data_bytes && index % 8 == 0;
}

// The rule that the peer broke; false while it broke none. Field and rule are static text.
struct RingViolation {
  const char* field = nullptr;
  uint64_t value = 0;
  const char* rule = nullptr;

  explicit operator bool() const { return field != nullptr; }
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_RING_MEMORY_H_
