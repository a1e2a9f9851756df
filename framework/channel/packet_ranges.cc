#include "framework/channel/packet_ranges.h"

#include <algorithm>
#include <cstring>

namespace vmbuskit {
namespace {

constexpr size_t kCountOffset = 4;  // of the range count in an extension
constexpr size_t kListOffset = 8;   // of the first range
constexpr Pfn kPfnLimit = Pfn{1} << 52;

template <typename T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
void Store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

// Range count of an extension whose ranges take at least `range_bytes` each; 0 when none or too
// many.
uint32_t RangeCount(std::span<const std::byte> extension, size_t range_bytes) {
  if (extension.size() < kListOffset) return 0;
  const uint32_t count = Load<uint32_t>(extension.data() + kCountOffset);
  return count <= (extension.size() - kListOffset) / range_bytes ? count : 0;
}

}  // namespace

std::span<const std::byte> BuildTransferPages(std::span<std::byte> space, uint16_t set_id,
                                              std::span<const TransferRange> ranges) {
  const size_t bytes = TransferPagesBytes(ranges.size());
  if (ranges.empty() || bytes > space.size()) return {};
  Store<uint32_t>(space.data(), set_id);  // the owner flag and the reserved byte are zero
  Store(space.data() + kCountOffset, static_cast<uint32_t>(ranges.size()));
  std::memcpy(space.data() + kListOffset, ranges.data(), ranges.size_bytes());
  static_assert(sizeof(TransferRange) == 8 && offsetof(TransferRange, offset) == 4);
  return space.first(bytes);
}

std::optional<TransferPages> TransferPages::Parse(std::span<const std::byte> extension,
                                                  uint64_t buffer_bytes) {
  const uint32_t count = RangeCount(extension, sizeof(TransferRange));
  if (count == 0) return std::nullopt;
  const TransferPages pages(extension.data() + kListOffset, count,
                            Load<uint16_t>(extension.data()));
  for (uint32_t i = 0; i < count; ++i) {
    const TransferRange range = pages[i];
    if (range.offset > buffer_bytes || range.length > buffer_bytes - range.offset) {
      return std::nullopt;
    }
  }
  return pages;
}

TransferRange TransferPages::operator[](uint32_t index) const {
  return Load<TransferRange>(ranges_ + size_t{index} * sizeof(TransferRange));
}

std::span<const std::byte> BuildPageBuffers(std::span<std::byte> space,
                                            std::span<const PageBuffer> buffers) {
  const size_t bytes = PageBuffersBytes(buffers.size());
  if (buffers.empty() || buffers.size() > kMaxPageBuffers || bytes > space.size()) return {};
  std::byte* at = space.data();
  Store<uint32_t>(at, 0);
  Store(at + kCountOffset, static_cast<uint32_t>(buffers.size()));
  at += kListOffset;
  for (const PageBuffer& buffer : buffers) {
    if (buffer.length == 0 || buffer.offset >= kPageSize ||
        buffer.length > kPageSize - buffer.offset) {
      return {};
    }
    Store(at, buffer.length);
    Store(at + 4, buffer.offset);
    Store(at + 8, buffer.pfn);
    at += 16;
  }
  return space.first(bytes);
}

std::span<const std::byte> BuildMultiPage(std::span<std::byte> space, uint32_t offset,
                                          uint32_t length, std::span<const Pfn> pfns) {
  const size_t bytes = GpaDirectBytes(pfns.size());
  if (length == 0 || offset >= kPageSize || bytes > space.size() ||
      pfns.size() != PagesSpanned(offset, length)) {
    return {};
  }
  std::byte* const at = space.data();
  Store<uint32_t>(at, 0);
  Store<uint32_t>(at + kCountOffset, 1);
  Store(at + kListOffset, length);
  Store(at + kListOffset + 4, offset);
  std::memcpy(at + kListOffset + 8, pfns.data(), pfns.size_bytes());
  return space.first(bytes);
}

std::optional<GpaDirectRanges> GpaDirectRanges::Parse(std::span<const std::byte> extension) {
  const uint32_t count = RangeCount(extension, 16);
  if (count == 0) return std::nullopt;
  std::span<const std::byte> rest = extension.subspan(kListOffset);
  uint64_t total = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (rest.size() < 8) return std::nullopt;
    const uint32_t length = Load<uint32_t>(rest.data());
    const uint32_t offset = Load<uint32_t>(rest.data() + 4);
    rest = rest.subspan(8);
    if (length == 0 || offset >= kPageSize) return std::nullopt;
    const uint64_t pages = PagesSpanned(offset, length);
    if (pages > rest.size() / 8) return std::nullopt;
    for (uint64_t page = 0; page < pages; ++page) {
      if (Load<Pfn>(rest.data() + page * 8) >= kPfnLimit) return std::nullopt;
    }
    rest = rest.subspan(pages * 8);
    total += length;
  }
  return GpaDirectRanges(extension.data() + kListOffset, count, total);
}

bool GpaCursor::NextRange() {
  if (ranges_left_ == 0) return false;
  --ranges_left_;
  length_left_ = Load<uint32_t>(next_);
  offset_ = Load<uint32_t>(next_ + 4);
  next_ += 8;
  return true;
}

bool GpaCursor::Next(GpaSegment& segment) {
  if (length_left_ == 0 && !NextRange()) return false;
  Pfn pfn = Load<Pfn>(next_);
  segment.gpa = pfn * kPageSize + offset_;
  segment.length = 0;
  do {
    const uint32_t part = std::min<uint32_t>(length_left_, kPageSize - offset_);
    segment.length += part;
    length_left_ -= part;
    offset_ = 0;
    next_ += 8;
  } while (length_left_ != 0 && Load<Pfn>(next_) == ++pfn);
  return true;
}

}  // namespace vmbuskit
