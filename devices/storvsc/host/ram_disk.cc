#include "devices/storvsc/host/ram_disk.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "devices/storvsc/host/done_list.h"
#include "framework/base/saved_state.h"
#include "platform/spin_wait.h"

namespace vmbuskit {
namespace {

class RamQueue final : public BlockQueue {
 public:
  RamQueue(Executor& executor, RamDisk& disk) : disk_(disk), done_(executor) {}

  void Submit(BlockRequest& request) override { done_.Add(request, disk_.Carry(request)); }

 private:
  RamDisk& disk_;
  DoneList done_;
};

std::byte* AllocateZeroed(size_t bytes) {
  void* const memory = std::calloc(1, bytes);
  return static_cast<std::byte*>(memory);
}

}  // namespace

// Keeps the others from a part of a chunk while it is read or written: one exchange for up to 64 KiB.
class RamDisk::Hold {
 public:
  Hold(Chunk& chunk, uint64_t at, uint64_t bytes)
      : held_(chunk.held), pages_(Pages(at / kHoldBytes, (at + bytes - 1) / kHoldBytes)) {
    uint16_t others = held_.load(std::memory_order_relaxed);
    for (SpinWait wait;;) {
      others &= static_cast<uint16_t>(~pages_);
      const auto with_mine = static_cast<uint16_t>(others | pages_);
      if (held_.compare_exchange_weak(others, with_mine, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        return;
      }
      if ((others & pages_) != 0) wait.Pause();
    }
  }
  ~Hold() { held_.fetch_and(static_cast<uint16_t>(~pages_), std::memory_order_release); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

 private:
  static constexpr uint64_t kHoldBytes = kChunkBytes / 16;

  static uint16_t Pages(uint64_t first, uint64_t last) {
    return static_cast<uint16_t>((uint32_t{2} << last) - (uint32_t{1} << first));
  }

  std::atomic<uint16_t>& held_;
  const uint16_t pages_;
};

RamDisk::Group::~Group() {
  for (Chunk& chunk : chunks) std::free(chunk.data.load(std::memory_order_relaxed));
}

RamDisk::RamDisk(const Options& options)
    : bytes_(std::min(options.bytes, kBytesMax)),
      group_count_((bytes() + kGroupBytes - 1) / kGroupBytes),
      groups_(std::make_unique<std::atomic<Group*>[]>(group_count_)) {
  info_.block_bytes = options.block_bytes;
  info_.physical_block_bytes = std::max<uint32_t>(options.block_bytes, kPageSize);
  info_.read_only = options.read_only;
  info_.force_unit_access = true;
  info_.discard = true;
  info_.write_zeroes = true;
  info_.status = true;
  info_.discard_granularity = options.block_bytes;
  info_.discard_bytes_max = kBytesMax;
  info_.write_zeroes_bytes_max = kBytesMax;
  info_.id = options.id;
  info_.vendor = "vmbuskit";
  info_.product = "RAM disk";
}

RamDisk::~RamDisk() {
  for (uint64_t i = 0; i < group_count_; ++i) delete groups_[i].load(std::memory_order_relaxed);
}

std::unique_ptr<BlockQueue> RamDisk::OpenQueue(Executor& executor) {
  return std::make_unique<RamQueue>(executor, *this);
}

absl::StatusOr<BlockBuffer> RamDisk::AllocateBuffer(size_t bytes) {
  return BlockBuffer::OfHeap(bytes);
}

RamDisk::Chunk* RamDisk::Find(uint64_t offset) const {
  Group* const group = groups_[offset / kGroupBytes].load(std::memory_order_acquire);
  if (group == nullptr) return nullptr;
  Chunk& chunk = group->chunks[offset / kChunkBytes % kChunksPerGroup];
  return chunk.data.load(std::memory_order_acquire) == nullptr ? nullptr : &chunk;
}

// Two executors may want the same part at the same time: the second to be ready gives its own back.
RamDisk::Chunk* RamDisk::Make(uint64_t offset) {
  if (Chunk* const found = Find(offset)) return found;
  std::atomic<Group*>& slot = groups_[offset / kGroupBytes];
  Group* group = slot.load(std::memory_order_acquire);
  if (group == nullptr) {
    Group* const made = new (std::nothrow) Group();
    if (made == nullptr) return nullptr;
    if (slot.compare_exchange_strong(group, made, std::memory_order_acq_rel)) {
      group = made;
    } else {
      delete made;
    }
  }
  Chunk& chunk = group->chunks[offset / kChunkBytes % kChunksPerGroup];
  std::byte* const made = AllocateZeroed(kChunkBytes);
  if (made == nullptr) return nullptr;
  std::byte* present = nullptr;
  if (chunk.data.compare_exchange_strong(present, made, std::memory_order_acq_rel)) {
    allocated_.fetch_add(kChunkBytes, std::memory_order_relaxed);
  } else {
    std::free(made);
  }
  return &chunk;
}

void RamDisk::Peek(uint64_t offset, std::span<std::byte> to) const {
  while (!to.empty()) {
    const uint64_t at = offset % kChunkBytes;
    const size_t part = std::min<uint64_t>(to.size(), kChunkBytes - at);
    Chunk* const chunk = Find(offset);
    if (chunk == nullptr) {
      std::memset(to.data(), 0, part);
    } else {
      const Hold hold(*chunk, at, part);
      std::memcpy(to.data(), chunk->data.load(std::memory_order_relaxed) + at, part);
    }
    offset += part;
    to = to.subspan(part);
  }
}

bool RamDisk::Poke(uint64_t offset, std::span<const std::byte> from) {
  while (!from.empty()) {
    const uint64_t at = offset % kChunkBytes;
    const size_t part = std::min<uint64_t>(from.size(), kChunkBytes - at);
    Chunk* const chunk = Make(offset);
    if (chunk == nullptr) return false;
    const Hold hold(*chunk, at, part);
    std::memcpy(chunk->data.load(std::memory_order_relaxed) + at, from.data(), part);
    if (!chunk->holds_data.load(std::memory_order_relaxed)) {
      chunk->holds_data.store(true, std::memory_order_relaxed);
    }
    offset += part;
    from = from.subspan(part);
  }
  return true;
}

void RamDisk::Zero(uint64_t offset, uint64_t bytes) {
  while (bytes != 0) {
    const uint64_t at = offset % kChunkBytes;
    const uint64_t part = std::min(bytes, kChunkBytes - at);
    if (Chunk* const chunk = Find(offset)) {
      const Hold hold(*chunk, at, part);
      std::memset(chunk->data.load(std::memory_order_relaxed) + at, 0, part);
      if (part == kChunkBytes) chunk->holds_data.store(false, std::memory_order_relaxed);
    }
    offset += part;
    bytes -= part;
  }
}

void RamDisk::Resize(uint64_t bytes) {
  bytes = std::min(bytes, kBytesMax);
  if (bytes < this->bytes()) Zero(bytes, this->bytes() - bytes);
  const uint64_t groups = (bytes + kGroupBytes - 1) / kGroupBytes;
  if (groups > group_count_) {
    auto larger = std::make_unique<std::atomic<Group*>[]>(groups);
    for (uint64_t i = 0; i < group_count_; ++i) {
      larger[i].store(groups_[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
    }
    groups_ = std::move(larger);
    group_count_ = groups;
  }
  bytes_.store(bytes, std::memory_order_release);
}

void RamDisk::FillStatus(BlockRequest& request) const {
  request.extent_count = 0;
  const uint64_t end = request.offset + request.bytes;
  for (uint64_t at = request.offset; at < end;) {
    const Chunk* const chunk = Find(at);
    const bool data = chunk != nullptr && chunk->holds_data.load(std::memory_order_relaxed);
    const uint64_t part = std::min(end, (at / kChunkBytes + 1) * kChunkBytes) - at;
    BlockExtent* const last =
        request.extent_count == 0 ? nullptr : &request.extents[request.extent_count - 1];
    if (last != nullptr && last->allocated == data) {
      last->bytes += part;
    } else {
      if (request.extent_count == request.extents.size()) return;
      request.extents[request.extent_count++] = {.bytes = part, .allocated = data, .zero = !data};
    }
    at += part;
  }
}

BlockResult RamDisk::Carry(BlockRequest& request) {
  const BlockResult check = CheckBlockRequest(request, info_, bytes());
  if (check != BlockResult::kOk) return check;
  uint64_t offset = request.offset;
  switch (request.operation) {
    case BlockOperation::kRead:
      for (const BlockSegment& segment : request.segments) {
        Peek(offset, {segment.data, segment.bytes});
        offset += segment.bytes;
      }
      break;
    case BlockOperation::kWrite:
      for (const BlockSegment& segment : request.segments) {
        if (!Poke(offset, {segment.data, segment.bytes})) return BlockResult::kNoSpace;
        offset += segment.bytes;
      }
      break;
    case BlockOperation::kDiscard:
    case BlockOperation::kWriteZeroes:
      Zero(offset, request.bytes);
      break;
    case BlockOperation::kStatus:
      FillStatus(request);
      break;
    case BlockOperation::kFlush:
      break;
  }
  return BlockResult::kOk;
}

void RamDisk::Save(StateWriter& state) const {
  state(bytes());
  uint64_t count = 0;
  auto each_chunk = [this](auto&& call) {
    for (uint64_t at = 0; at < bytes(); at += kChunkBytes) {
      if (at % kGroupBytes == 0 && groups_[at / kGroupBytes].load() == nullptr) {
        at += kGroupBytes - kChunkBytes;
        continue;
      }
      const Chunk* const chunk = Find(at);
      if (chunk != nullptr && chunk->holds_data.load(std::memory_order_relaxed)) call(at, *chunk);
    }
  };
  each_chunk([&](uint64_t, const Chunk&) { ++count; });
  state(count);
  each_chunk([&](uint64_t at, const Chunk& chunk) {
    state(at);
    state.Bytes({chunk.data.load(std::memory_order_relaxed), kChunkBytes});
  });
}

void RamDisk::Restore(StateReader& state) {
  Zero(0, bytes());
  uint64_t size = 0;
  state.AtMost("disk bytes", size, kBytesMax);
  if (size % info_.block_bytes != 0) state.Fail("disk bytes", size, "whole blocks");
  if (!state.ok()) return;
  Resize(size);
  uint64_t count = 0;
  state.AtMost("chunks", count, kBytesMax / kChunkBytes);
  for (uint64_t i = 0; i < count && state.ok(); ++i) {
    uint64_t at = 0;
    state(at);
    const std::span<const std::byte> bytes = state.Bytes();
    if (at % kChunkBytes != 0 || at >= size || bytes.size() != kChunkBytes) {
      state.Fail("chunk offset", at, "not a chunk of this disk");
    } else if (!Poke(at, bytes)) {
      state.Fail("chunk offset", at, "no memory");
    }
  }
}

}  // namespace vmbuskit
