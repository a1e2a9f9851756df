// The first words of the exchange class: what the guest shares, and how many sub-channels there will be.
//
//   FillShared(buffer.bytes(), handle);                 // the guest's, before it says hello
//   if (!IsShared(mapping.bytes(), handle)) Report();   // the host's
//
// Thread safety: plain values and functions.
#ifndef VMBUSKIT_TESTS_SCENARIO_EXCHANGE_HELLO_H_
#define VMBUSKIT_TESTS_SCENARIO_EXCHANGE_HELLO_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "platform/memory.h"
#include "tests/scenario/exchange_lane.h"

namespace vmbuskit {

struct ExchangeHello {
  ExchangeHeader header;
  uint32_t gpadl = 0;  // 0: nothing is shared
  uint32_t shared_bytes = 0;
};
static_assert(sizeof(ExchangeHello) == 32);

struct ExchangeHelloAnswer {
  uint64_t subchannels = 0;
};

// Every page of the buffer begins with its number and the handle.
inline uint64_t SharedMark(uint32_t handle, size_t page) {
  return uint64_t{handle} << 32 | (page + 1);
}
inline void FillShared(std::span<std::byte> bytes, uint32_t handle) {
  for (size_t page = 0; page < bytes.size() / kPageSize; ++page) {
    const uint64_t mark = SharedMark(handle, page);
    std::memcpy(bytes.data() + page * kPageSize, &mark, sizeof mark);
  }
}
inline bool IsShared(std::span<const std::byte> bytes, uint32_t handle) {
  for (size_t page = 0; page < bytes.size() / kPageSize; ++page) {
    const uint64_t mark = SharedMark(handle, page);
    if (std::memcmp(bytes.data() + page * kPageSize, &mark, sizeof mark) != 0) return false;
  }
  return true;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_EXCHANGE_HELLO_H_
