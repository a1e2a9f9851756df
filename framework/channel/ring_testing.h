// A ring in this process, for tests and benchmarks: control page and data, the data mapped twice in
// a row as a transport does it, and the peer's words to lie in.
//
//   TestRing ring(4096);
//   RingWriter writer(ring.memory());
//   ring.words().read_index = 3;                  // a peer that breaks a rule
//
// Thread safety: none of its own. Ownership: unmapped at destruction. Errors: end the test.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_RING_TESTING_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_RING_TESTING_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "framework/channel/ring_memory.h"
#include "platform/linux/memfd_memory.h"
#include "platform/memory.h"

namespace vmbuskit {

class TestRing {
 public:
  explicit TestRing(uint32_t data_bytes, uint32_t start_index = 0) {
    const uint32_t data_pages = data_bytes / kPageSize;
    std::vector<Pfn> pages(1 + 2 * data_pages);
    std::iota(pages.begin(), pages.begin() + 1 + data_pages, Pfn{0});
    std::iota(pages.begin() + 1 + data_pages, pages.end(), Pfn{1});
    auto guest_memory = MemfdMemory::Create({.page_count = 1 + data_pages});
    if (!guest_memory.ok()) std::abort();
    guest_memory_ = *std::move(guest_memory);
    auto mapping = guest_memory_->Map(pages);
    if (!mapping.ok()) std::abort();
    mapping_ = *std::move(mapping);
    std::byte* const start = mapping_.bytes().data();
    memory_ = {start, start + kPageSize, data_bytes};
    // Touched now, so that no page fault falls into what is measured.
    std::memset(memory_.data, 0, size_t{2} * data_bytes);
    words().write_index = words().read_index = start_index;
  }
  TestRing(const TestRing&) = delete;
  TestRing& operator=(const TestRing&) = delete;

  const RingMemory& memory() const { return memory_; }
  RingControl& words() const { return memory_.words(); }

  // A copy of `count` data bytes from `index` on, the way a single mapping shows them.
  std::vector<std::byte> Data(uint32_t index, uint32_t count) const {
    std::vector<std::byte> bytes;
    for (uint32_t i = 0; i < count; ++i) {
      bytes.push_back(memory_.data[(index + i) % memory_.data_bytes]);
    }
    return bytes;
  }

  // The peer writes `bytes` at `index` and moves the write index behind them.
  void Publish(uint32_t index, std::span<const std::byte> bytes) {
    for (uint32_t i = 0; i < bytes.size(); ++i) {
      memory_.data[(index + i) % memory_.data_bytes] = bytes[i];
    }
    words().write_index = (index + static_cast<uint32_t>(bytes.size())) % memory_.data_bytes;
  }

 private:
  std::unique_ptr<MemfdMemory> guest_memory_;
  Mapping mapping_;
  RingMemory memory_;
};

// `count` bytes that differ from their neighbours and from those of another seed.
inline std::vector<std::byte> Pattern(size_t count, uint32_t seed = 1) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::byte>((i * 7 + seed * 31) % 251 + 1);
  }
  return bytes;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_RING_TESTING_H_
