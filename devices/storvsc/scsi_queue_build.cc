// What the commands of each operation look like, and the guest pages that some of them need.
#include <algorithm>
#include <array>
#include <cstring>

#include "devices/storvsc/scsi_cdb.h"
#include "devices/storvsc/scsi_queue.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kStatusHeadBytes = 8;
constexpr uint32_t kStatusEntryBytes = 16;
constexpr uint32_t kStatusEntriesMax = 32;
// Of zeros that go over the wire: a command's worth, without a list of segments that is needlessly long.
constexpr uint32_t kZeroBytesMax = 256 * 1024;

}  // namespace

// As many units as there are pages for, down to one of a single page or block.
void ScsiQueue::AllocateBounce(uint32_t bytes) {
  const uint32_t least = std::max<uint32_t>(info_.block_bytes, kPageSize);
  const uint32_t transfer =
      std::max<uint32_t>(info_.max_transfer_bytes / kPageSize * kPageSize, least);
  for (bytes = std::max(bytes, least);; bytes = std::max(bytes / 2, least)) {
    auto buffer = disk_->AllocateBuffer(kPageSize + bytes);
    if (buffer.ok()) {
      bounce_ = *std::move(buffer);
      break;
    }
    if (bytes == least) return;  // then only what lies in guest memory goes
  }
  unit_bytes_ = std::min({kBounceUnitBytes, transfer, bytes / least * least});
  units_left_ = bytes / unit_bytes_;
  free_units_.reserve(units_left_);
  for (uint32_t unit = units_left_; unit-- > 0;) free_units_.push_back(unit);
  zeros_.assign(std::max(std::min(transfer, kZeroBytesMax), least) / kPageSize,
                {.data = bounce_.bytes().data(), .bytes = kPageSize, .gpa = bounce_.gpa()});
}

std::byte* ScsiQueue::UnitBytes(const Slot& slot) const {
  return bounce_.bytes().data() + kPageSize + size_t{slot.unit} * unit_bytes_;
}

// Lets the command's data be the first `bytes` of a unit.
ScsiQueue::Built ScsiQueue::TakeUnit(Slot& slot, uint32_t bytes) {
  if (units_left_ == 0 || bytes > unit_bytes_) return Built::kNo;
  if (free_units_.empty()) return Built::kWait;
  slot.unit = free_units_.back();
  free_units_.pop_back();
  slot.own = {.data = UnitBytes(slot),
              .bytes = bytes,
              .gpa = bounce_.gpa(kPageSize + size_t{slot.unit} * unit_bytes_)};
  slot.segments = {&slot.own, 1};
  slot.skip_bytes = 0;
  slot.bytes = bytes;
  return Built::kYes;
}

void ScsiQueue::GiveUnitBack(Slot& slot, bool lost) {
  if (lost) {
    --units_left_;
    units_lost_ = true;
  } else {
    free_units_.push_back(slot.unit);
  }
  slot.unit = kNoUnit;
}

// Fills `slot` in for the next part of the current request, of which `bytes` are left; then says how many it takes.
ScsiQueue::Built ScsiQueue::Build(Slot& slot, uint64_t& bytes) {
  slot.moves = false;
  switch (slot.request->operation) {
    case BlockOperation::kRead:
    case BlockOperation::kWrite:
      return BuildTransfer(slot, bytes);
    case BlockOperation::kFlush:
      slot.direction = storvsc::kNoData;
      slot.bytes = 0;
      SetFlushCdb(slot);
      return Built::kYes;
    case BlockOperation::kDiscard:
      return BuildDiscard(slot, bytes);
    case BlockOperation::kWriteZeroes:
      return BuildWriteZeroes(slot, bytes);
    case BlockOperation::kStatus:
      return BuildStatus(slot, bytes);
  }
  return Built::kNo;
}

ScsiQueue::Built ScsiQueue::BuildTransfer(Slot& slot, uint64_t& bytes) {
  const BlockRequest& request = *slot.request;
  const bool write = request.operation == BlockOperation::kWrite;
  const Piece piece = NextPiece(request.segments, at_, bytes,
                                {.block_bytes = info_.block_bytes,
                                 .max_bytes = info_.max_transfer_bytes,
                                 .bounce_bytes = units_left_ == 0 ? 0 : unit_bytes_});
  if (piece.bytes == 0) return Built::kNo;
  if (piece.bounce) {
    if (const Built built = TakeUnit(slot, piece.bytes); built != Built::kYes) return built;
    slot.bounce_at = piece.at;
    if (write) CopyFromSegments(request.segments, piece.at, {UnitBytes(slot), piece.bytes});
  } else {
    slot.segments = request.segments.subspan(piece.at.index);
    slot.skip_bytes = piece.at.skip;
    slot.bytes = piece.bytes;
  }
  slot.moves = true;
  slot.direction = write ? storvsc::kDataOut : storvsc::kDataIn;
  SetTransferCdb(slot, write, (request.offset + done_) >> block_shift_, piece.bytes >> block_shift_,
                 write && request.force_unit_access && info_.force_unit_access);
  at_ = Advance(request.segments, piece.at, piece.bytes);
  bytes = piece.bytes;
  return Built::kYes;
}

ScsiQueue::Built ScsiQueue::BuildDiscard(Slot& slot, uint64_t& bytes) {
  const uint64_t most = std::min(info_.discard_bytes_max, uint64_t{UINT32_MAX} << block_shift_);
  bytes = std::min(bytes, most);
  if (const Built built = TakeUnit(slot, kUnmapListBytes); built != Built::kYes) return built;
  slot.direction = storvsc::kDataOut;
  WriteUnmapList(UnitBytes(slot), (slot.request->offset + done_) >> block_shift_,
                 static_cast<uint32_t>(bytes >> block_shift_));
  SetUnmapCdb(slot, kUnmapListBytes);
  return Built::kYes;
}

ScsiQueue::Built ScsiQueue::BuildWriteZeroes(Slot& slot, uint64_t& bytes) {
  if (zeros_.empty()) return Built::kNo;
  const bool same = disk_->writes_same();
  uint64_t most = same ? info_.write_zeroes_bytes_max
                       : std::min<uint64_t>(zeros_.size() * kPageSize, info_.max_transfer_bytes);
  most = most >> block_shift_ << block_shift_;
  if (most == 0) return Built::kNo;
  bytes = std::min(bytes, most);
  const uint64_t lba = (slot.request->offset + done_) >> block_shift_;
  const auto blocks = static_cast<uint32_t>(bytes >> block_shift_);
  slot.direction = storvsc::kDataOut;
  slot.segments = zeros_;
  slot.skip_bytes = 0;
  slot.moves = !same;
  slot.bytes = same ? info_.block_bytes : static_cast<uint32_t>(bytes);
  if (same) {
    slot.parent->same = true;
    SetWriteSameCdb(slot, slot.request->may_unmap && disk_->options().write_same_unmaps, lba,
                    blocks);
  } else {
    SetTransferCdb(slot, /*write=*/true, lba, blocks, /*force_unit_access=*/false);
  }
  return Built::kYes;
}

ScsiQueue::Built ScsiQueue::BuildStatus(Slot& slot, uint64_t& bytes) {
  const auto entries =
      static_cast<uint32_t>(std::min<size_t>(slot.request->extents.size(), kStatusEntriesMax));
  const uint32_t length = kStatusHeadBytes + entries * kStatusEntryBytes;
  if (const Built built = TakeUnit(slot, length); built != Built::kYes) return built;
  (void)bytes;  // all: one answer is enough, however little it covers
  std::memset(UnitBytes(slot), 0, length);
  slot.direction = storvsc::kDataIn;
  SetLbaStatusCdb(slot, slot.request->offset >> block_shift_, length);
  return Built::kYes;
}

// The descriptors that follow each other from the request's offset on, cut to what was asked.
void ScsiQueue::ReadStatus(const Slot& slot) {
  BlockRequest& request = *slot.parent->request;
  std::array<std::byte, kStatusHeadBytes + kStatusEntriesMax * kStatusEntryBytes> copy;
  const uint32_t length = std::min<uint32_t>(slot.transferred, slot.bytes);
  std::memcpy(copy.data(), UnitBytes(slot), length);
  uint64_t lba = request.offset >> block_shift_;
  uint64_t left = request.bytes >> block_shift_;
  request.extent_count = 0;
  for (uint32_t at = kStatusHeadBytes; at + kStatusEntryBytes <= length && left != 0;
       at += kStatusEntryBytes) {
    const uint64_t first = scsi::ReadBig64(copy.data() + at);
    const uint64_t count = scsi::ReadBig32(copy.data() + at + 8);
    if (request.extent_count == request.extents.size()) break;
    if (first > lba || count <= lba - first) break;  // a gap, or nothing
    const uint64_t blocks = std::min(count - (lba - first), left);
    const bool hole = (static_cast<uint8_t>(copy[at + 12]) & 0x0F) == 1;  // deallocated
    request.extents[request.extent_count++] = {.bytes = blocks << block_shift_, .allocated = !hole};
    lba += blocks;
    left -= blocks;
  }
  if (request.extent_count == 0) {
    request.extents[0] = {.bytes = request.bytes};
    request.extent_count = 1;
  }
}

// What is to be on stable storage and cannot say so in its own commands.
bool ScsiQueue::FlushesAfterwards(const BlockRequest& request) const {
  if (!request.force_unit_access || !info_.volatile_cache) return false;
  return request.operation == BlockOperation::kWriteZeroes ||
         (request.operation == BlockOperation::kWrite && !info_.force_unit_access);
}

}  // namespace vmbuskit
