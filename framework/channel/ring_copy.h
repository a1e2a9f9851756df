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

// One move of `kBytes`: 16 is a vector register everywhere.
template <size_t kBytes>
struct Block {
  explicit Block(const std::byte* from) { std::memcpy(bytes, from, kBytes); }
  void Store(std::byte* to) const { std::memcpy(to, bytes, kBytes); }
  unsigned char bytes[kBytes];
};

// Copies [0, kBytes) and [count - kBytes, count): everything, when kBytes <= count <= 2 * kBytes.
template <size_t kBytes>
inline __attribute__((always_inline)) void CopyEnds(std::byte* to, const std::byte* from,
                                                    size_t count) {
  const Block<kBytes> head(from), tail(from + count - kBytes);
  head.Store(to);
  tail.Store(to + count - kBytes);
}

// The same for 32 at each end, in blocks of 16: larger ones would go through the stack.
inline __attribute__((always_inline)) void CopyEnds32(std::byte* to, const std::byte* from,
                                                      size_t count) {
  const Block<16> head0(from), head1(from + 16), tail1(from + count - 32), tail0(from + count - 16);
  head0.Store(to);
  head1.Store(to + 16);
  tail1.Store(to + count - 32);
  tail0.Store(to + count - 16);
}

}  // namespace ring_copy_internal

inline __attribute__((always_inline)) void CopyBytes(std::byte* to, const std::byte* from,
                                                     size_t count) {
  using ring_copy_internal::CopyEnds;
  using ring_copy_internal::CopyEnds32;
  if (count >= 16) {
    if (count <= 32) return CopyEnds<16>(to, from, count);
    if (count <= 64) return CopyEnds32(to, from, count);
    if (count <= 128) {
      CopyEnds32(to, from, 64);
      return CopyEnds32(to + count - 64, from + count - 64, 64);
    }
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
