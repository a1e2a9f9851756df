#include "tests/scenario/storage_user.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

constexpr std::byte kSpoilt{0xA5};
constexpr Duration kPauseMax = std::chrono::milliseconds(5);

bool MovesData(const BlockRequest& request) {
  return request.operation == BlockOperation::kRead || request.operation == BlockOperation::kWrite;
}

bool IsChange(const BlockRequest& request) {
  return request.operation == BlockOperation::kWrite ||
         request.operation == BlockOperation::kDiscard ||
         request.operation == BlockOperation::kWriteZeroes;
}

// Tells what blocks hold.
bool Looks(const BlockRequest& request) {
  return request.operation == BlockOperation::kRead || request.operation == BlockOperation::kStatus;
}

DiskModel::Kind KindOf(const BlockRequest& request) {
  if (request.operation == BlockOperation::kWrite) return DiskModel::Kind::kData;
  return request.operation == BlockOperation::kDiscard ? DiskModel::Kind::kDiscard
                                                       : DiskModel::Kind::kZeros;
}

}  // namespace

// ---- The disk.

StorageDisk::StorageDisk(FaultSource& faults, const Plan& plan)
    : faults_(faults), plan_(plan), storage_(std::make_shared<SimDisk>(faults, plan.options)) {}

void StorageDisk::SetGuestDisk(std::shared_ptr<BlockDevice> disk) {
  guest_ = std::move(disk);
  if (guest_ == nullptr) {
    if (persistent_ != nullptr) persistent_->Detach();
  } else if (plan_.changes_size) {
    // Another one each time for those who want the same.
  } else if (persistent_ == nullptr) {
    persistent_ = std::make_shared<PersistentBlockDevice>(
        guest_, PersistentBlockDevice::Options{.queue_depth = 4});
  } else if (const absl::Status attached = persistent_->Attach(guest_); !attached.ok()) {
    if (!harmed_) Wrong(absl::StrCat("is another one: ", attached.message()));
  }
  for (StorageUser* user : users_) user->Wake();
}

void StorageDisk::ForgetGuest() {
  guest_ = nullptr;
  persistent_ = nullptr;
  users_.clear();
}

std::shared_ptr<BlockDevice> StorageDisk::guest_disk(bool persistent) const {
  if (persistent) return persistent_;
  return guest_;
}

void StorageDisk::Harm() {
  harmed_ = true;
  model_.Forget();
}

void StorageDisk::CheckAtRest() {
  if (storage_->under_way() != 0) return Wrong("has work under way at rest");
  model_.Settle();
  std::vector<std::byte> bytes(storage_->info().block_bytes);
  const uint64_t read = model_.BeginRead();
  model_.EachBlock([&](uint64_t block) {
    if (block >= storage_->block_count()) return;
    storage_->Peek(block, bytes);
    const std::string wrong = model_.CheckBlock(block, bytes, read);
    if (!wrong.empty()) Wrong(absl::StrCat("at rest: ", wrong));
  });
  model_.EndRead(read);
}

void StorageDisk::Wrong(const std::string& what) {
  faults_.Report(absl::InternalError(absl::StrCat("disk ", plan_.name, " ", what)));
}

// ---- A user.

StorageUser::StorageUser(StorageDisk& disk, Executor& executor, const Options& options)
    : disk_(disk),
      executor_(executor),
      options_(options),
      random_(options.seed),
      wake_(executor, Callback::To<&StorageUser::OnWake>(this)),
      next_(executor, Callback::To<&StorageUser::OnPauseEnd>(this)) {
  for (Slot& slot : slots_) slot.user = this;
  heap_memory_ = BlockBuffer::OfHeap(kSlots * kSlotBytes);
}

StorageUser::~StorageUser() { assert(outstanding_ == 0 && queue_ == nullptr); }

uint32_t StorageUser::block_bytes() const { return disk_.plan().options.block_bytes; }

void StorageUser::StartRound(uint32_t requests) {
  left_ = requests;
  pause_ = false;
  Wake();
}

void StorageUser::Release() {
  releasing_ = true;
  left_ = 0;
  Wake();
}

void StorageUser::OnWake() {
  const std::shared_ptr<BlockDevice> wanted =
      releasing_ ? nullptr : disk_.guest_disk(options_.persistent);
  const bool spoilt = std::ranges::any_of(slots_, &Slot::unusable);
  if (wanted != device_ || spoilt) {
    if (outstanding_ != 0) return;  // the last one that ends calls again
    LetGo();
    if (wanted != nullptr) Take(wanted);
  }
  Pump();
}

void StorageUser::OnPauseEnd() {
  pause_ = false;
  OnWake();
}

void StorageUser::LetGo() {
  next_.Disarm();
  pause_ = false;
  queue_ = nullptr;
  device_ = nullptr;
  for (Slot& slot : slots_) {
    if (slot.was_used && !slot.unusable && !Unspoilt(slot) && !disk_.harmed()) {
      disk_.Wrong("wrote into memory of a request that had ended");
    }
    slot.was_used = slot.unusable = false;
  }
  guest_memory_ = {};
}

void StorageUser::Take(std::shared_ptr<BlockDevice> device) {
  device_ = std::move(device);
  // Without a disk below there is none for now.
  absl::StatusOr<BlockBuffer> memory = device_->AllocateBuffer(kSlots * kSlotBytes);
  if (memory.ok()) guest_memory_ = *std::move(memory);
  queue_ = device_->OpenQueue(executor_);
}

void StorageUser::Pump() {
  if (queue_ == nullptr) return;
  while (left_ != 0 && !pause_ && outstanding_ < options_.depth) {
    if (!Ask()) return;
    --left_;
    if (random_.OneIn(3)) {
      pause_ = true;
      next_.Arm(executor_.Now() + DrawUpTo(random_, kPauseMax));
    }
  }
}

bool StorageUser::Ask() {
  const auto free = std::ranges::find_if(
      slots_, [](const Slot& slot) { return !slot.under_way && !slot.unusable; });
  if (free == slots_.end()) return false;
  Slot& slot = *free;
  if (slot.was_used && !Unspoilt(slot) && !disk_.harmed()) {
    disk_.Wrong("wrote into memory of a request that had ended");
  }
  DrawOperation(slot);
  DrawRange(slot);
  slot.part_count = 0;
  slot.segments = {};
  DiskModel& model = disk_.model();
  slot.extents = slot.extent_space;
  slot.since = slot.operation == BlockOperation::kFlush ? model.BeginFlush()
               : Looks(slot)                            ? model.BeginRead()
                                                        : 0;
  if (IsChange(slot)) slot.write = model.BeginWrite(KindOf(slot), slot.first, slot.count);
  if (MovesData(slot)) {
    DrawSegments(slot);
    if (slot.operation == BlockOperation::kWrite) FillSegments(slot);
  }
  slot.under_way = slot.was_used = true;
  ++outstanding_;
  ++disk_.figures().submitted;
  disk_.faults().Note(disk_.plan().name, " ", std::string(ToString(slot.operation)),
                      slot.force_unit_access ? " through to " : " ", slot.first, "+", slot.count,
                      " content ", IsChange(slot) ? slot.write.content : 0);
  queue_->Submit(slot);
  return true;
}

void StorageUser::DrawOperation(Slot& slot) {
  const uint64_t drawn = random_.Below(100);
  slot.operation = drawn < 40   ? BlockOperation::kRead
                   : drawn < 76 ? BlockOperation::kWrite
                   : drawn < 84 ? BlockOperation::kFlush
                   : drawn < 89 ? BlockOperation::kDiscard
                   : drawn < 95 ? BlockOperation::kWriteZeroes
                                : BlockOperation::kStatus;
  const BlockInfo& info = device_->info();
  if (slot.operation == BlockOperation::kDiscard && !info.discard) {
    slot.operation = BlockOperation::kRead;
  }
  slot.force_unit_access = (slot.operation == BlockOperation::kWrite ||
                            slot.operation == BlockOperation::kWriteZeroes) &&
                           random_.OneIn(4);
  slot.may_unmap = random_.OneIn(2);
}

// Everybody wants the same few places: the first blocks, those around 2 TiB, the last ones.
void StorageUser::DrawRange(Slot& slot) {
  slot.first = slot.count = 0;
  if (slot.operation != BlockOperation::kFlush) {
    // The guest may count in larger blocks than the storage does.
    const uint32_t sector = device_->info().block_bytes;
    const uint64_t sectors = device_->bytes() / sector;
    const uint64_t most = std::min<uint64_t>(kSlotBytes / sector / 2, sectors);
    const uint64_t window = std::min<uint64_t>(64, sectors);
    constexpr uint64_t kFar = uint64_t{1} << 32;
    uint64_t start = random_.OneIn(4) ? sectors - window : 0;
    if (sectors > kFar + window && random_.OneIn(3)) start = kFar - window / 2;
    const uint64_t count = 1 + random_.Below(random_.OneIn(4) ? most : std::min<uint64_t>(most, 8));
    const uint64_t first = start + random_.Below(window - count + 1);
    slot.first = first * (sector / block_bytes());
    slot.count = count * (sector / block_bytes());
  }
  slot.offset = slot.first * block_bytes();
  slot.bytes = slot.count * block_bytes();
}

std::byte* StorageUser::MemoryOf(const Slot& slot, bool guest) const {
  const auto index = static_cast<size_t>(&slot - slots_.data());
  return (guest ? guest_memory_ : heap_memory_).bytes().data() + index * kSlotBytes;
}

// A few pieces of any length, each somewhere in the slot's memory; the guest's or the process's.
void StorageUser::DrawSegments(Slot& slot) {
  const bool has_guest = !guest_memory_.bytes().empty();
  const bool guest = has_guest && !random_.OneIn(4);
  const bool aligned = random_.OneIn(2);
  uint64_t left = slot.bytes;
  uint64_t at = aligned ? 4096 * random_.Below(2) : random_.Below(4096);
  const uint64_t pieces = random_.OneIn(2) ? 1 : 1 + random_.Below(kSegments);
  const auto index = static_cast<size_t>(&slot - slots_.data());
  while (left != 0) {
    uint64_t part = left;
    if (slot.part_count + 1 < pieces) {
      part = 1 + random_.Below(left);
      if (aligned && part > block_bytes()) part = part / block_bytes() * block_bytes();
    }
    slot.parts[slot.part_count++] = {
        .data = MemoryOf(slot, guest) + at,
        .bytes = static_cast<uint32_t>(part),
        .gpa = guest ? guest_memory_.gpa(index * kSlotBytes + at) : BlockSegment::kNoGpa};
    left -= part;
    at += part + (aligned ? 0 : random_.Below(32));
  }
  slot.segments = std::span(slot.parts).first(slot.part_count);
}

void StorageUser::FillSegments(Slot& slot) {
  for (uint64_t i = 0; i < slot.count; ++i) {
    disk_.model().Fill(slot.first + i, slot.write.content,
                       std::span(flat_).subspan(i * block_bytes(), block_bytes()));
  }
  const std::byte* from = flat_.data();
  for (const BlockSegment& part : slot.segments) {
    std::memcpy(part.data, from, part.bytes);
    from += part.bytes;
  }
}

// Whoever uses the memory of a request after its end reads rubbish, or is seen.
void StorageUser::Spoil(Slot& slot) {
  for (const BlockSegment& part : slot.segments) {
    std::memset(part.data, static_cast<int>(kSpoilt), part.bytes);
  }
}

bool StorageUser::Unspoilt(const Slot& slot) const {
  return std::ranges::all_of(slot.segments, [](const BlockSegment& part) {
    // Equal to itself moved by one, and the first is right.
    return part.data[0] == kSpoilt && std::memcmp(part.data, part.data + 1, part.bytes - 1) == 0;
  });
}

void StorageUser::OnDone(Slot& slot, BlockResult result) {
  if (!slot.under_way) return disk_.Wrong("ended a request twice");
  slot.under_way = false;
  --outstanding_;
  ++disk_.figures().ended;
  if (!executor_.IsCurrent()) disk_.Wrong("ended a request on another executor");
  disk_.faults().Note(disk_.plan().name, " ", std::string(ToString(slot.operation)), " ",
                      slot.first, "+", slot.count, " ends: ", std::string(ToString(result)));
  CheckResult(slot, result);
  DiskModel& model = disk_.model();
  if (result == BlockResult::kOk) {
    EndWell(slot);
  } else if (IsChange(slot)) {
    model.EndWrite(slot.write, slot.first, slot.count,
                   result == BlockResult::kLost ? DiskModel::End::kLost : DiskModel::End::kFailed,
                   false);
  }
  if (Looks(slot)) model.EndRead(slot.since);
  slot.unusable = result == BlockResult::kLost;
  // Nobody waits for ever for a disk that does not come back.
  if (result == BlockResult::kGone && options_.persistent) left_ = 0;
  if (!slot.unusable) Spoil(slot);
  Wake();
}

void StorageUser::EndWell(Slot& slot) {
  DiskModel& model = disk_.model();
  if (slot.operation == BlockOperation::kFlush) return model.EndFlush(slot.since);
  if (slot.operation == BlockOperation::kRead) return CheckRead(slot);
  if (slot.operation == BlockOperation::kStatus) return CheckStatus(slot);
  const bool stable = slot.force_unit_access || !device_->info().volatile_cache;
  model.EndWrite(slot.write, slot.first, slot.count, DiskModel::End::kDone, stable);
}

void StorageUser::CheckRead(Slot& slot) {
  std::byte* to = flat_.data();
  for (const BlockSegment& part : slot.segments) {
    std::memcpy(to, part.data, part.bytes);
    to += part.bytes;
  }
  for (uint64_t i = 0; i < slot.count; ++i) {
    const std::string wrong = disk_.model().CheckBlock(
        slot.first + i, std::span(flat_).subspan(i * block_bytes(), block_bytes()), slot.since);
    if (!wrong.empty() && !disk_.harmed()) disk_.Wrong(absl::StrCat("read: ", wrong));
  }
}

// Where the disk says that there is nothing, the blocks read as zeros.
void StorageUser::CheckStatus(const Slot& slot) {
  if (disk_.harmed()) return;
  const std::span<std::byte> zeros = std::span(flat_).first(block_bytes());
  std::ranges::fill(zeros, std::byte{0});
  uint64_t at = 0;
  for (const BlockExtent& extent : slot.extents.first(slot.extent_count)) {
    if (extent.bytes == 0 || extent.bytes > slot.bytes - at) {
      return disk_.Wrong("told of parts that nobody asked for");
    }
    const uint64_t end = at + extent.bytes;
    for (; at < end; at += block_bytes()) {
      if (extent.allocated && !extent.zero) continue;
      const std::string wrong =
          disk_.model().CheckBlock(slot.first + at / block_bytes(), zeros, slot.since);
      if (!wrong.empty()) disk_.Wrong(absl::StrCat("status: ", wrong));
    }
  }
  if (at == 0) disk_.Wrong("told of nothing");
}

// Is it a result that something gave a reason for?
void StorageUser::CheckResult(const Slot& slot, BlockResult result) {
  const FaultPlan& plan = disk_.faults().plan();
  bool expected = disk_.harmed();
  switch (result) {
    case BlockResult::kOk:
    case BlockResult::kGone:
      return;
    case BlockResult::kMediumError:
    case BlockResult::kAborted:
      expected |= plan.backend_error.per_1024 != 0 || disk_.faults().silent() || disk_.guest_dies;
      break;
    case BlockResult::kTimedOut:
      expected |= disk_.faults().silent();
      break;
    case BlockResult::kNoSpace:
      expected |= disk_.plan().options.room_blocks != UINT64_MAX;
      break;
    case BlockResult::kOutOfRange:
      expected |= disk_.plan().changes_size;
      break;
    case BlockResult::kLost:
      expected |= disk_.guest_dies || !plan.host_is_honest() || disk_.faults().silent();
      break;
    case BlockResult::kInvalid:
    case BlockResult::kReadOnly:
    case BlockResult::kNotSupported:
    case BlockResult::kConflict:
      break;
  }
  if (expected) return;
  disk_.Wrong(absl::StrCat("ended a ", std::string(ToString(slot.operation)),
                           " without a reason: ", std::string(ToString(result))));
}

}  // namespace vmbuskit
