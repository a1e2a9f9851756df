// Which requests a load makes, one after the other.
//
//   IoSequence sequence({.kind = IoPattern::Kind::kRandomMixed, .block_bytes = 4096}, disk.bytes());
//   IoSequence::Next next = sequence.Take();      // {write?, offset}
//
// Sequential ones begin at `first_offset` and start over at the disk's end. The same seed gives the same sequence.
// Thread safety: one owner. Never allocates. Units: bytes; offsets are multiples of block_bytes.
#ifndef VMBUSKIT_TOOLS_VMBUS_IO_PATTERN_H_
#define VMBUSKIT_TOOLS_VMBUS_IO_PATTERN_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "platform/random.h"

namespace vmbuskit {

struct IoPattern {
  enum class Kind : uint8_t { kRead, kWrite, kRandomRead, kRandomWrite, kRandomMixed };

  Kind kind = Kind::kRead;
  uint32_t block_bytes = 4096;
  uint64_t first_offset = 0;
  uint64_t seed = 1;
};

// "read", "write", "randread", "randwrite", "randrw".
std::optional<IoPattern::Kind> ParseIoKind(std::string_view text);
std::string_view ToString(IoPattern::Kind kind);
constexpr bool Writes(IoPattern::Kind kind) {
  return kind != IoPattern::Kind::kRead && kind != IoPattern::Kind::kRandomRead;
}

class IoSequence {
 public:
  struct Next {
    bool write = false;
    uint64_t offset = 0;
    friend bool operator==(const Next&, const Next&) = default;
  };

  // The disk has room for one block at least.
  IoSequence(const IoPattern& pattern, uint64_t disk_bytes);
  Next Take();

 private:
  const IoPattern pattern_;
  const uint64_t blocks_;
  uint64_t next_block_;
  Random random_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_IO_PATTERN_H_
