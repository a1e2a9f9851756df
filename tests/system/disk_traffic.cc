#include "tests/system/disk_traffic.h"

#include <algorithm>
#include <cstring>

#include "framework/task/spawn.h"
#include "gtest/gtest.h"

namespace vmbuskit {

void DiskModel::Write(uint64_t offset, std::span<const std::byte> data, bool certain) {
  std::memcpy(now_.data() + offset, data.data(), data.size());
  if (certain) std::memcpy(before_.data() + offset, data.data(), data.size());
}

bool DiskModel::Matches(uint64_t offset, std::span<const std::byte> data) const {
  for (size_t at = 0; at < data.size(); at += kBlockBytes) {
    const bool is_now = std::memcmp(data.data() + at, now_.data() + offset + at, kBlockBytes) == 0;
    const bool was = std::memcmp(data.data() + at, before_.data() + offset + at, kBlockBytes) == 0;
    if (!is_now && !was) return false;
  }
  return true;
}

void DiskModel::Check() {
  std::vector<std::byte> bytes(kBytes);
  disk_.Peek(0, bytes);
  EXPECT_TRUE(Matches(0, bytes)) << "acknowledged bytes are not on the disk";
  now_ = bytes;
  before_ = bytes;
}

struct DiskTraffic::Slot final : BlockRequest {
  void OnDone(BlockResult result) override { traffic->OnDone(*this, result); }

  DiskTraffic* traffic = nullptr;
  uint64_t base = 0;  // on the disk
  std::span<std::byte> memory;
  Gpa gpa = BlockSegment::kNoGpa;
  std::vector<BlockSegment> pieces;
};

DiskTraffic::DiskTraffic(DiskModel& model, std::shared_ptr<BlockDevice> disk, Executor& executor,
                         const Options& options)
    : model_(model),
      disk_(std::move(disk)),
      executor_(executor),
      options_(options),
      random_(options.seed),
      left_(options.requests),
      changed_(executor) {}

DiskTraffic::~DiskTraffic() { EXPECT_TRUE(ended_); }

uint64_t DiskTraffic::total() const {
  uint64_t sum = 0;
  for (const uint64_t each : results_) sum += each;
  return sum;
}

void DiskTraffic::Start() { Spawn(executor_, Run()); }

Task<void> DiskTraffic::Run() {
  queue_ = disk_->OpenQueue(executor_);
  absl::StatusOr<BlockBuffer> buffer = disk_->AllocateBuffer(size_t{options_.slots} * kSlotBytes);
  EXPECT_TRUE(buffer.ok()) << buffer.status();
  buffer_ = *std::move(buffer);
  for (uint32_t i = 0; i < options_.slots; ++i) {
    slots_.push_back(std::make_unique<Slot>());
    Slot& slot = *slots_.back();
    slot.traffic = this;
    slot.base = uint64_t{options_.first_slot + i} * kSlotBytes;
    slot.memory = buffer_.bytes().subspan(size_t{i} * kSlotBytes, kSlotBytes);
    slot.gpa = buffer_.gpa(size_t{i} * kSlotBytes);
    ++active_;
  }
  for (const auto& slot : slots_) Next(*slot);
  while (active_ != 0) co_await changed_.Wait();
  slots_.clear();
  queue_.reset();
  buffer_ = {};
  ended_ = true;
}

void DiskTraffic::Next(Slot& slot) {
  if (left_ == 0) {
    if (--active_ == 0) changed_.NotifyAll();
    return;
  }
  --left_;
  slot.force_unit_access = false;
  slot.segments = {};
  if (options_.flushes && random_.Below(16) == 0) {
    slot.operation = BlockOperation::kFlush;
    slot.offset = slot.bytes = 0;
    return queue_->Submit(slot);
  }
  const uint64_t blocks = kSlotBytes / DiskModel::kBlockBytes;
  const uint64_t first = random_.Below(blocks);
  const uint64_t count = 1 + random_.Below(blocks - first);
  slot.offset = slot.base + first * DiskModel::kBlockBytes;
  slot.bytes = count * DiskModel::kBlockBytes;
  slot.operation = random_.Below(2) == 0 ? BlockOperation::kRead : BlockOperation::kWrite;
  const std::span<std::byte> bytes = slot.memory.first(slot.bytes);
  if (slot.operation == BlockOperation::kWrite) {
    // Every block another one, each time.
    for (size_t at = 0; at < bytes.size(); at += DiskModel::kBlockBytes) {
      const uint64_t stamp[] = {random_.Below(UINT64_MAX), slot.offset + at};
      std::memset(bytes.data() + at, static_cast<int>(stamp[0]), DiskModel::kBlockBytes);
      std::memcpy(bytes.data() + at, stamp, sizeof stamp);
    }
    slot.force_unit_access = random_.Below(8) == 0;
  }
  // One piece, or two that meet anywhere, the second sometimes where the host cannot reach.
  const auto cut =
      static_cast<uint32_t>(random_.Below(2) == 0 ? slot.bytes : 1 + random_.Below(slot.bytes - 1));
  const auto rest = static_cast<uint32_t>(slot.bytes - cut);
  slot.pieces = {{bytes.data(), cut, slot.gpa}};
  const Gpa second = random_.Below(4) == 0 ? BlockSegment::kNoGpa : slot.gpa + cut;
  if (rest != 0) slot.pieces.push_back({bytes.data() + cut, rest, second});
  slot.segments = slot.pieces;
  queue_->Submit(slot);
}

void DiskTraffic::OnDone(Slot& slot, BlockResult result) {
  ++results_[static_cast<size_t>(result)];
  const std::span<const std::byte> bytes = slot.memory.first(slot.bytes);
  if (slot.operation == BlockOperation::kWrite) {
    model_.Write(slot.offset, bytes, result == BlockResult::kOk);
  } else if (slot.operation == BlockOperation::kRead && result == BlockResult::kOk) {
    EXPECT_TRUE(model_.Matches(slot.offset, bytes))
        << slot.bytes << " bytes from " << slot.offset << " on";
  }
  // Who lost its disk, or its memory to the host, stops.
  if (result == BlockResult::kGone || result == BlockResult::kLost) left_ = 0;
  Next(slot);
}

}  // namespace vmbuskit
