#include "tests/scenario/sim_disk.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <set>
#include <utility>

namespace vmbuskit {
namespace {

constexpr Duration kSilence = std::chrono::seconds(20);      // within every deadline
constexpr Duration kLongSilence = std::chrono::seconds(75);  // past that of a command

constexpr uint32_t kDropsMax = 1000;

// Between the bytes of a request's segments and a flat block.
template <typename Call>
void EachPart(const BlockRequest& request, uint64_t offset, uint32_t bytes, Call call) {
  for (const BlockSegment& segment : request.segments) {
    if (bytes == 0) return;
    if (offset >= segment.bytes) {
      offset -= segment.bytes;
      continue;
    }
    const auto part = static_cast<uint32_t>(std::min<uint64_t>(segment.bytes - offset, bytes));
    call(segment.data + offset, part);
    bytes -= part;
    offset = 0;
  }
}

}  // namespace

class SimDiskQueue final : public BlockQueue {
 public:
  SimDiskQueue(SimDisk& disk, Executor& executor)
      : disk_(disk), executor_(executor), due_(executor, Callback::To<&SimDiskQueue::OnDue>(this)) {
    disk_.queues_.push_back(this);
  }
  ~SimDiskQueue() override {
    assert(pending_.empty());
    std::erase(disk_.queues_, this);
  }

  void Submit(BlockRequest& request) override {
    ++disk_.under_way_;
    Pending pending = {.request = &request, .due = executor_.Now()};
    pending.result = CheckBlockRequest(request, disk_.info_, disk_.bytes());
    FaultSource& faults = disk_.faults_;
    if (pending.result == BlockResult::kOk) {
      pending.result = disk_.Draw(request);
      pending.early = disk_.random_.OneIn(2);
      if (pending.early) disk_.Move(request, pending.result);
      // A quarter answers at once; the others when others had their turn.
      if (!disk_.random_.OneIn(4)) {
        pending.due += DrawUpTo(disk_.random_, std::chrono::microseconds(100));
      }
      if (faults.Happens(faults.plan().backend_stall)) {
        faults.Note("storage is slow about a ", std::string(ToString(request.operation)));
        pending.due += DrawUpTo(disk_.random_, faults.plan().backend_stall_max);
      } else if (faults.Happens(faults.plan().backend_silent)) {
        faults.Note("storage says nothing about a ", std::string(ToString(request.operation)));
        pending.due += kSilence;
        if (disk_.random_.OneIn(4)) {
          pending.due += kLongSilence - kSilence;
          faults.NoteSilence();
        }
      }
    } else {
      pending.early = true;
    }
    pending_.push_back(pending);
    Arm();
  }

  // The bytes of what is under way are not touched any more.
  void Drop(SimScheduler& sim) {
    const std::vector<Pending> dropped = std::exchange(pending_, {});
    due_.Disarm();
    disk_.under_way_ -= static_cast<uint32_t>(dropped.size());
    const SimTurn turn = sim.Enter(static_cast<SimExecutor&>(executor_));
    for (const Pending& pending : dropped) pending.request->OnDone(BlockResult::kGone);
  }

 private:
  struct Pending {
    BlockRequest* request = nullptr;
    Instant due{};
    BlockResult result = BlockResult::kOk;
    bool early = false;  // its bytes were moved
  };

  void Arm() {
    if (pending_.empty()) return due_.Disarm();
    const auto first = std::ranges::min_element(pending_, {}, &Pending::due);
    if (!due_.armed() || due_.deadline() != first->due) due_.Arm(first->due);
  }

  // One in a turn.
  void OnDue() {
    const auto first = std::ranges::min_element(pending_, {}, &Pending::due);
    if (first == pending_.end()) return;
    const Pending pending = *first;
    if (pending.due <= executor_.Now()) {
      pending_.erase(first);
      if (!pending.early) disk_.Move(*pending.request, pending.result);
      --disk_.under_way_;
      Arm();
      return pending.request->OnDone(pending.result);  // which may destroy this queue
    }
    Arm();
  }

  SimDisk& disk_;
  Executor& executor_;
  std::vector<Pending> pending_;
  Timer due_;
};

SimDisk::SimDisk(FaultSource& faults, const Options& options)
    : faults_(faults),
      random_(options.seed),
      room_blocks_(options.room_blocks),
      blocks_(options.blocks) {
  info_.block_bytes = options.block_bytes;
  info_.physical_block_bytes = std::max<uint32_t>(options.block_bytes, 4096);
  info_.volatile_cache = options.volatile_cache;
  info_.force_unit_access = options.force_unit_access;
  info_.discard = options.discard;
  info_.write_zeroes = options.write_zeroes;
  info_.status = options.status;
  info_.discard_granularity = options.discard ? options.block_bytes : 0;
  info_.discard_bytes_max = options.discard ? uint64_t{1} << 32 : 0;
  info_.write_zeroes_bytes_max = options.write_zeroes ? uint64_t{1} << 32 : 0;
  info_.id = options.id;
}

SimDisk::~SimDisk() { assert(queues_.empty() && under_way_ == 0); }

std::unique_ptr<BlockQueue> SimDisk::OpenQueue(Executor& executor) {
  return std::make_unique<SimDiskQueue>(*this, executor);
}

absl::StatusOr<BlockBuffer> SimDisk::AllocateBuffer(size_t bytes) {
  return BlockBuffer::OfHeap(bytes);
}

BlockResult SimDisk::Draw(const BlockRequest& request) {
  if (!HasRoom(request)) return BlockResult::kNoSpace;
  if (!faults_.Happens(faults_.plan().backend_error)) return BlockResult::kOk;
  faults_.Note("storage fails at a ", std::string(ToString(request.operation)));
  return random_.OneIn(3) ? BlockResult::kAborted : BlockResult::kMediumError;
}

bool SimDisk::HasRoom(const BlockRequest& request) const {
  if (request.operation != BlockOperation::kWrite || room_blocks_ == UINT64_MAX) return true;
  uint64_t more = 0;
  for (uint64_t at = 0; at < request.bytes; at += info_.block_bytes) {
    const auto found = index_.find((request.offset + at) / info_.block_bytes);
    more += found == index_.end() || !written_[found->second].cached;
  }
  return used_ + more <= room_blocks_;
}

size_t SimDisk::Make(uint64_t block) {
  const auto [entry, fresh] = index_.try_emplace(block, written_.size());
  if (fresh) {
    written_.push_back({.number = block});
    pool_.resize(2 * written_.size() * info_.block_bytes);
  }
  return entry->second;
}

void SimDisk::Stabilize(Block& block, size_t at) {
  if (!block.dirty) return;
  std::memcpy(StorageOf(at), CacheOf(at), info_.block_bytes);
  block.dirty = false;
}

void SimDisk::FlushAll() {
  for (size_t at = 0; at < written_.size(); ++at) Stabilize(written_[at], at);
}

void SimDisk::WriteBlock(uint64_t block, bool durable, const BlockRequest* from, uint64_t at) {
  const size_t index = Make(block);
  Block& written = written_[index];
  std::byte* to = CacheOf(index);
  if (from == nullptr) {
    std::memset(to, 0, info_.block_bytes);
  } else {
    EachPart(*from, at, info_.block_bytes, [&](const std::byte* data, uint32_t bytes) {
      std::memcpy(to, data, bytes);
      to += bytes;
    });
  }
  const bool holds = from != nullptr;
  used_ += holds ? !written.cached : -static_cast<uint64_t>(written.cached);
  written.cached = holds;
  written.dirty = true;
  // The cache is written back when it likes, too.
  if (durable || !info_.volatile_cache || random_.OneIn(16)) Stabilize(written, index);
}

void SimDisk::MoveBlock(BlockRequest& request, uint64_t block, uint64_t at) {
  // What was cut off meanwhile reads as zeros.
  if (block >= blocks_ && request.operation != BlockOperation::kRead) return;
  switch (request.operation) {
    case BlockOperation::kRead: {
      const auto found = index_.find(block);
      const bool holds = found != index_.end() && block < blocks_;
      const std::byte* from = !holds ? nullptr : CacheOf(found->second);
      EachPart(request, at, info_.block_bytes, [&](std::byte* data, uint32_t bytes) {
        if (from == nullptr) {
          std::memset(data, 0, bytes);
        } else {
          std::memcpy(data, from, bytes);
          from += bytes;
        }
      });
      return;
    }
    case BlockOperation::kWrite:
      return WriteBlock(block, request.force_unit_access, &request, at);
    case BlockOperation::kWriteZeroes:
      return WriteBlock(block, request.force_unit_access, nullptr, 0);
    case BlockOperation::kDiscard:
      if (random_.OneIn(4)) return;  // a hint
      return WriteBlock(block, false, nullptr, 0);
    case BlockOperation::kFlush:
    case BlockOperation::kStatus:
      return;
  }
}

// From the request's offset on, as far as there is room for it.
void SimDisk::Describe(BlockRequest& request) const {
  const uint64_t first = request.offset / info_.block_bytes;
  const uint64_t end = first + request.bytes / info_.block_bytes;
  std::set<uint64_t> holding;
  for (const Block& block : written_) {
    if (block.cached && block.number >= first && block.number < end) holding.insert(block.number);
  }
  request.extent_count = 0;
  const auto tell = [&](uint64_t blocks, bool allocated) {
    if (blocks == 0 || request.extent_count == request.extents.size()) return;
    request.extents[request.extent_count++] = {
        .bytes = blocks * info_.block_bytes, .allocated = allocated, .zero = !allocated};
  };
  uint64_t at = first;
  while (at < end) {
    const auto next = holding.lower_bound(at);
    const uint64_t data = next == holding.end() ? end : *next;
    tell(data - at, false);
    at = data;
    while (holding.contains(at)) ++at;
    tell(at - data, true);
  }
}

void SimDisk::Move(BlockRequest& request, BlockResult result) {
  if (result != BlockResult::kOk && random_.OneIn(2)) return;  // did nothing at all
  if (request.operation == BlockOperation::kFlush) {
    if (result == BlockResult::kOk) FlushAll();
    return;
  }
  if (request.operation == BlockOperation::kStatus) {
    return Describe(request);
  }
  const uint64_t first = request.offset / info_.block_bytes;
  const uint64_t count = request.bytes / info_.block_bytes;
  if (result == BlockResult::kNoSpace) return;
  for (uint64_t i = 0; i < count; ++i) {
    if (result != BlockResult::kOk && random_.OneIn(2)) continue;
    MoveBlock(request, first + i, i * info_.block_bytes);
  }
}

void SimDisk::Resize(uint64_t blocks) {
  blocks_ = blocks;
  for (size_t at = 0; at < written_.size(); ++at) {
    Block& block = written_[at];
    if (block.number < blocks) continue;
    std::memset(CacheOf(at), 0, info_.block_bytes);
    used_ -= block.cached;
    block.cached = false;
    block.dirty = true;
    Stabilize(block, at);
  }
}

void SimDisk::LosePower() {
  for (size_t at = 0; at < written_.size(); ++at) {
    Block& block = written_[at];
    if (!block.dirty) continue;
    if (random_.OneIn(3)) {
      Stabilize(block, at);
    } else {
      std::memcpy(CacheOf(at), StorageOf(at), info_.block_bytes);
      block.dirty = false;
      const std::span bytes(CacheOf(at), info_.block_bytes);
      const bool holds = std::ranges::any_of(bytes, [](std::byte b) { return b != std::byte{0}; });
      used_ += uint64_t{holds} - uint64_t{block.cached};
      block.cached = holds;
    }
  }
}

void SimDisk::DropRequests(SimScheduler& sim) {
  // Whoever hears of an end may submit what waited for it: that is dropped, too.
  for (uint32_t i = 0; under_way_ != 0 && i < kDropsMax; ++i) {
    const std::vector<SimDiskQueue*> queues = queues_;
    for (SimDiskQueue* queue : queues) {
      if (std::ranges::find(queues_, queue) != queues_.end()) queue->Drop(sim);
    }
  }
}

void SimDisk::Peek(uint64_t block, std::span<std::byte> to) const {
  const auto found = index_.find(block);
  if (found == index_.end()) {
    std::memset(to.data(), 0, to.size());
    return;
  }
  std::memcpy(to.data(), const_cast<SimDisk*>(this)->CacheOf(found->second), info_.block_bytes);
}

}  // namespace vmbuskit
