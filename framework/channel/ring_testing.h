// A ring in this process, for tests and benchmarks: control page and data, the data mapped twice in a row as a transport
// does it, and the peer's words to lie in.
//
//   TestRing ring(4096);
//   RingWriter writer(ring.memory());
//   ring.words().read_index = 3;                  // a peer that breaks a rule
//
// Thread safety: none of its own. Ownership: unmapped at destruction. Errors: end the test.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_RING_TESTING_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_RING_TESTING_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "framework/channel/ring_memory.h"

namespace vmbuskit {

class TestRing {
 public:
  explicit TestRing(uint32_t data_bytes, uint32_t start_index = 0) {
    const size_t file_bytes = size_t{kRingPageBytes} + data_bytes;
    bytes_ = file_bytes + data_bytes;
    const int file = memfd_create("ring", MFD_CLOEXEC);
    void* const space = mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (file < 0 || ftruncate(file, static_cast<off_t>(file_bytes)) != 0 || space == MAP_FAILED) {
      std::abort();
    }
    start_ = static_cast<std::byte*>(space);
    Show(file, start_, file_bytes, 0);
    Show(file, start_ + file_bytes, data_bytes, kRingPageBytes);
    close(file);
    memory_ = {start_, start_ + kRingPageBytes, data_bytes};
    words().write_index = words().read_index = start_index;
  }
  ~TestRing() { munmap(start_, bytes_); }
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
  static void Show(int file, std::byte* where, size_t bytes, off_t offset) {
    if (mmap(where, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, offset) ==
        MAP_FAILED) {
      std::abort();
    }
  }

  std::byte* start_ = nullptr;
  size_t bytes_ = 0;
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
