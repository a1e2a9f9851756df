#include "devices/storvsc/host/nbd_disk.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/storvsc/host/segment_copy.h"
#include "framework/interfaces/block_completions.h"
#include "platform/linux/executor.h"

namespace vmbuskit {
namespace {

BlockResult ResultOf(int error) {
  switch (error) {
    case 0:
      return BlockResult::kOk;
    case ENOSPC:
    case EDQUOT:
      return BlockResult::kNoSpace;
    case EPERM:
    case EROFS:
      return BlockResult::kReadOnly;
    case ETIMEDOUT:
      return BlockResult::kTimedOut;
    case ESTALE:
      return BlockResult::kGone;
    case ENOTSUP:
      return BlockResult::kNotSupported;
    default:
      return BlockResult::kMediumError;
  }
}

bool MovesData(const BlockRequest& request) {
  return request.operation == BlockOperation::kRead || request.operation == BlockOperation::kWrite;
}

// A queue: requests as commands of the connection, one for each piece of memory.
class NbdDiskQueue final : public BlockQueue {
 public:
  static constexpr uint32_t kSlots = 128;
  static constexpr size_t kFlats = 4;
  static constexpr size_t kFlatBytes = 256 * 1024;  // of whole blocks, whatever their size

  NbdDiskQueue(std::shared_ptr<NbdDisk> disk, std::shared_ptr<NbdConnection> connection,
               const NbdFacts& facts, Executor& executor)
      : disk_(std::move(disk)),
        connection_(std::move(connection)),
        facts_(facts),
        slots_(kSlots),
        completions_(executor) {
    for (Slot& slot : slots_) {
      slot.queue = this;
      free_.push_back(slot);
    }
    if (facts_.block_bytes_min == 1) return;
    flats_ = BlockBuffer::OfHeap(kFlats * kFlatBytes);
    for (size_t i = 0; i < kFlats; ++i) free_flats_.push_back(&flats_.bytes()[i * kFlatBytes]);
  }
  ~NbdDiskQueue() override {
    assert(free_.size() == kSlots && waiting_.empty());
    free_.clear();
  }

  void Submit(BlockRequest& request) override {
    const BlockResult checked = CheckBlockRequest(request, disk_->info(), disk_->bytes());
    if (checked != BlockResult::kOk) return completions_.End(request, checked);
    if (!Supports(request.operation)) return completions_.End(request, Instead(request));
    if (free_.empty()) return waiting_.push_back(request);
    Begin(request);
  }

 private:
  // A request under way: one command at a time, so that nothing is allocated and pieces need no order.
  struct Slot final : NbdOperation {
    void OnDone(int error) override { queue->OnCommandDone(*this, error); }

    NbdDiskQueue* queue = nullptr;
    BlockRequest* request = nullptr;
    uint64_t done = 0;
    std::byte* flat = nullptr;  // for memory in smaller pieces than the server takes
  };

  bool Supports(BlockOperation operation) const {
    switch (operation) {
      case BlockOperation::kFlush:
        return facts_.flush;
      case BlockOperation::kDiscard:
        return facts_.trim;
      case BlockOperation::kWriteZeroes:
        return facts_.zero;
      case BlockOperation::kStatus:
        return facts_.status;
      default:
        return true;
    }
  }
  // The end of what the server has no command for.
  static BlockResult Instead(BlockRequest& request) {
    if (request.operation == BlockOperation::kStatus) {
      request.extents[0] = {.bytes = request.bytes, .allocated = true, .zero = false};
      request.extent_count = 1;
    }
    return request.operation == BlockOperation::kWriteZeroes ? BlockResult::kNotSupported
                                                             : BlockResult::kOk;
  }

  void Begin(BlockRequest& request) {
    Slot& slot = static_cast<Slot&>(free_.front());
    free_.pop_front();
    slot.request = &request;
    slot.done = 0;
    slot.kind = request.operation;
    slot.force_unit_access = request.force_unit_access && facts_.fua;
    slot.may_unmap = request.may_unmap;
    slot.status_of = &request;
    if (!MovesData(request) || !NeedsFlat(request)) return Step(slot);
    if (free_flats_.empty()) return waiting_for_flat_.push_back(slot);
    TakeFlat(slot);
  }

  void TakeFlat(Slot& slot) {
    slot.flat = free_flats_.back();
    free_flats_.pop_back();
    Step(slot);
  }
  void LeaveFlat(Slot& slot) {
    free_flats_.push_back(std::exchange(slot.flat, nullptr));
    if (waiting_for_flat_.empty()) return;
    Slot& next = static_cast<Slot&>(waiting_for_flat_.front());
    waiting_for_flat_.pop_front();
    TakeFlat(next);
  }

  bool NeedsFlat(const BlockRequest& request) const {
    return std::ranges::any_of(request.segments, [this](const BlockSegment& segment) {
      return segment.bytes % facts_.block_bytes_min != 0;
    });
  }

  void Step(Slot& slot) {
    const BlockRequest& request = *slot.request;
    slot.offset = request.offset + slot.done;
    slot.bytes = std::min<uint64_t>(request.bytes - slot.done, uint64_t{1} << 31);
    if (MovesData(request)) FindPiece(slot);
    connection_->Submit(slot);
  }

  // As much memory in a row as there is from `done` on.
  void FindPiece(Slot& slot) const {
    slot.bytes = std::min<uint64_t>(slot.bytes, facts_.transfer_bytes_max);
    if (slot.flat != nullptr) {
      slot.data = slot.flat;
      slot.bytes = std::min<uint64_t>(slot.bytes, kFlatBytes);
      if (slot.kind == BlockOperation::kWrite)
        CopySegments(*slot.request, slot.done, slot.flat, slot.bytes);
      return;
    }
    uint64_t skip = slot.done;
    uint64_t bytes = 0;
    for (const BlockSegment& segment : slot.request->segments) {
      if (skip >= segment.bytes) {
        skip -= segment.bytes;
        continue;
      }
      if (bytes == 0) slot.data = segment.data + skip;
      if (slot.data + bytes != segment.data + skip) break;
      bytes += segment.bytes - skip;
      skip = 0;
    }
    slot.bytes = std::min(slot.bytes, bytes);
  }

  void OnCommandDone(Slot& slot, int error) {
    if (error == 0 && slot.flat != nullptr && slot.kind == BlockOperation::kRead)
      CopySegments(*slot.request, slot.done, slot.flat, slot.bytes);
    slot.done += slot.bytes;
    const bool whole = slot.done >= slot.request->bytes || slot.kind == BlockOperation::kStatus;
    if (error == 0 && !whole) return Step(slot);
    if (error == 0 && slot.kind != BlockOperation::kFlush && slot.request->force_unit_access &&
        !slot.force_unit_access && slot.kind != BlockOperation::kRead && facts_.flush) {
      slot.kind = BlockOperation::kFlush;  // the server has no FUA
      return connection_->Submit(slot);
    }
    if (error == ETIMEDOUT) EndWaiting();
    End(slot, ResultOf(error));
  }

  // What waits for a slot waits for the same server, and has done so while its guest counted.
  void EndWaiting() {
    while (!waiting_.empty()) {
      BlockRequest& request = waiting_.front();
      waiting_.pop_front();
      completions_.End(request, BlockResult::kTimedOut);
    }
  }

  void End(Slot& slot, BlockResult result) {
    BlockRequest& request = *slot.request;
    if (slot.flat != nullptr) LeaveFlat(slot);
    free_.push_front(slot);
    if (!waiting_.empty()) {
      BlockRequest& next = waiting_.front();
      waiting_.pop_front();
      Begin(next);
    }
    request.OnDone(result);
  }

  const std::shared_ptr<NbdDisk> disk_;
  const std::shared_ptr<NbdConnection> connection_;
  const NbdFacts& facts_;
  std::vector<Slot> slots_;
  boost::intrusive::list<NbdOperation> free_;
  boost::intrusive::list<BlockRequest> waiting_;  // for a slot
  BlockBuffer flats_;
  std::vector<std::byte*> free_flats_;
  boost::intrusive::list<NbdOperation> waiting_for_flat_;
  BlockCompletions completions_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<NbdDisk>> NbdDisk::Open(const std::string& uri,
                                                       const Options& options) {
  const absl::StatusOr<NbdFacts> facts = NbdDial::Ask(uri, options.connect_deadline);
  if (!facts.ok()) return facts.status();
  if (!std::has_single_bit(facts->block_bytes_min) ||
      facts->block_bytes_min > options.block_bytes) {
    return absl::FailedPreconditionError(
        absl::StrCat("disk ", uri, ": the server's smallest block is ", facts->block_bytes_min,
                     " bytes, the disk's ", options.block_bytes));
  }
  if (facts->transfer_bytes_max < options.block_bytes) {
    return absl::FailedPreconditionError(absl::StrCat("disk ", uri, ": the server takes at most ",
                                                      facts->transfer_bytes_max,
                                                      " bytes at a time"));
  }
  if (facts->bytes < options.block_bytes) {
    return absl::FailedPreconditionError(
        absl::StrCat("disk ", uri, ": has only ", facts->bytes, " bytes"));
  }
  NbdFacts whole = *facts;  // pieces of requests are of whole blocks
  whole.transfer_bytes_max -= whole.transfer_bytes_max % options.block_bytes;
  return std::shared_ptr<NbdDisk>(new NbdDisk(uri, whole, options));
}

NbdDisk::NbdDisk(std::string uri, const NbdFacts& facts, const Options& options)
    : uri_(std::move(uri)),
      facts_(facts),
      deadlines_(options.deadlines),
      bytes_(facts.bytes / options.block_bytes * options.block_bytes) {
  info_.block_bytes = options.block_bytes;
  info_.physical_block_bytes =
      std::max(options.block_bytes, std::bit_floor(std::min(facts.block_bytes_preferred, 65536u)));
  info_.queue_depth = NbdDiskQueue::kSlots;
  info_.read_only = options.read_only || facts.read_only;
  info_.volatile_cache = facts.flush;
  info_.force_unit_access = facts.fua || facts.flush;
  info_.discard = facts.trim && !info_.read_only;
  info_.write_zeroes = facts.zero && !info_.read_only;
  info_.status = facts.status;
  info_.rotational = facts.rotational;
  info_.discard_granularity = info_.discard ? info_.physical_block_bytes : 0;
  info_.discard_bytes_max = info_.discard ? uint64_t{1} << 31 : 0;
  info_.write_zeroes_bytes_max = info_.write_zeroes ? uint64_t{1} << 31 : 0;
  info_.id = options.id;
  info_.vendor = "vmbuskit";
  info_.product = "nbd";
}

std::shared_ptr<NbdConnection> NbdDisk::ConnectionOf(Executor& executor) {
  const std::lock_guard lock(mutex_);
  std::erase_if(connected_, [](const Connected& one) { return one.connection.expired(); });
  for (const Connected& one : connected_) {
    if (one.executor == &executor) return one.connection.lock();
  }
  if (!connected_.empty() && !facts_.multi_conn) return nullptr;
  auto connection = std::make_shared<NbdConnection>(uri_, facts_, deadlines_, writes_,
                                                    static_cast<LinuxExecutor&>(executor));
  connected_.push_back({&executor, connection});
  return connection;
}

std::unique_ptr<BlockQueue> NbdDisk::OpenQueue(Executor& executor) {
  std::shared_ptr<NbdConnection> connection = ConnectionOf(executor);
  if (connection == nullptr) return nullptr;
  return std::make_unique<NbdDiskQueue>(shared_from_this(), std::move(connection), facts_,
                                        executor);
}

}  // namespace vmbuskit
