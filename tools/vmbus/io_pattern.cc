#include "tools/vmbus/io_pattern.h"

#include <algorithm>
#include <utility>

namespace vmbuskit {
namespace {

using Kind = IoPattern::Kind;
constexpr std::pair<std::string_view, Kind> kNames[] = {{"read", Kind::kRead},
                                                        {"write", Kind::kWrite},
                                                        {"randread", Kind::kRandomRead},
                                                        {"randwrite", Kind::kRandomWrite},
                                                        {"randrw", Kind::kRandomMixed}};

}  // namespace

std::optional<Kind> ParseIoKind(std::string_view text) {
  for (const auto& [name, kind] : kNames) {
    if (name == text) return kind;
  }
  return std::nullopt;
}

std::string_view ToString(Kind kind) { return kNames[static_cast<size_t>(kind)].first; }

IoSequence::IoSequence(const IoPattern& pattern, uint64_t disk_bytes)
    : pattern_(pattern),
      blocks_(std::max<uint64_t>(disk_bytes / pattern.block_bytes, 1)),
      next_block_(pattern.first_offset / pattern.block_bytes % blocks_),
      random_(pattern.seed) {}

IoSequence::Next IoSequence::Take() {
  if (pattern_.kind == Kind::kRead || pattern_.kind == Kind::kWrite) {
    const uint64_t block = std::exchange(next_block_, (next_block_ + 1) % blocks_);
    return {pattern_.kind == Kind::kWrite, block * pattern_.block_bytes};
  }
  const uint64_t offset = random_.Below(blocks_) * pattern_.block_bytes;
  if (pattern_.kind != Kind::kRandomMixed) return {pattern_.kind == Kind::kRandomWrite, offset};
  return {random_.Below(2) == 1, offset};
}

}  // namespace vmbuskit
