// Copies between a ring and private memory: exact, inline for the short packets that make up most
// traffic.
//
//   CopyBytes(ring_position, payload.data(), payload.size());
//
// Short copies are a few possibly overlapping moves of a fixed size, all loads before the stores.
// Nothing outside [source, source + count) is read: packets border on memory that the peer may be
// writing. Thread safety: none of its own; ring indices order these accesses (protocol 02
// section 7.7).
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_RING_COPY_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_RING_COPY_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace vmbuskit {

namespace ring_copy_internal {

template <size_t kBytes>
struct Block {
  unsigned char bytes[kBytes];
};

// Copies [0, kBytes) and [count - kBytes, count), which cover everything when kBytes <= count <= 2
// * kBytes.
template <size_t kBytes>
inline __attribute__((always_inline)) void CopyEnds(std::byte* to, const std::byte* from,
                                                    size_t count) {
  Block<kBytes> head, tail;
  std::memcpy(&head, from, kBytes);
  std::memcpy(&tail, from + count - kBytes, kBytes);
  std::memcpy(to, &head, kBytes);
  std::memcpy(to + count - kBytes, &tail, kBytes);
}

}  // namespace ring_copy_internal

inline __attribute__((always_inline)) void CopyBytes(std::byte* to, const std::byte* from,
                                                     size_t count) {
  using ring_copy_internal::CopyEnds;
  if (count >= 16) {
    if (count <= 32) return CopyEnds<16>(to, from, count);
    if (count <= 64) return CopyEnds<32>(to, from, count);
    if (count <= 128) return CopyEnds<64>(to, from, count);
    std::memcpy(to, from, count);
    return;
  }
  if (count >= 8) return CopyEnds<8>(to, from, count);
  if (count >= 4) return CopyEnds<4>(to, from, count);
  if (count >= 2) return CopyEnds<2>(to, from, count);
  if (count == 1) *to = *from;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_RING_COPY_H_
