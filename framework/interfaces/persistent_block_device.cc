#include "framework/interfaces/persistent_block_device.h"

#include <algorithm>
#include <boost/intrusive/list.hpp>
#include <cassert>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace vmbuskit {

// What the disk and its queues have in common.
struct PersistentBlockDevice::Shared {
  explicit Shared(const Options& the_options) : options(the_options) {}

  const Options options;
  std::mutex mutex;
  std::shared_ptr<BlockDevice> device;  // null: away
  uint64_t generation = 0;              // a device may come back as itself
  uint64_t bytes = 0;
  std::vector<Event*> changed;  // of the queues
};

// A queue on one executor: its requests by way of slots of its own, which can be submitted again.
class PersistentBlockQueue final : public BlockQueue {
 public:
  using Shared = PersistentBlockDevice::Shared;

  PersistentBlockQueue(std::shared_ptr<Shared> shared, Executor& executor)
      : shared_(std::move(shared)),
        executor_(executor),
        slots_(shared_->options.queue_depth),
        changed_(executor, Callback::To<&PersistentBlockQueue::OnChanged>(this)),
        absent_(executor, Callback::To<&PersistentBlockQueue::OnAbsentTooLong>(this)) {
    for (Slot& slot : slots_) {
      slot.queue = this;
      free_.push_back(slot);
    }
    std::shared_ptr<BlockDevice> device;
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->changed.push_back(&changed_);
      device = shared_->device;
      generation_ = shared_->generation;
    }
    Take(std::move(device));  // not under the lock: it is somebody else's code
  }

  ~PersistentBlockQueue() override {
    assert(free_.size() == slots_.size() && waiting_.empty());
    {
      const std::lock_guard lock(shared_->mutex);
      std::erase(shared_->changed, &changed_);
    }
    free_.clear();
  }

  void Submit(BlockRequest& request) override {
    if (free_.empty()) return waiting_.push_back(request);
    Begin(request);
  }

 private:
  static constexpr uint32_t kAbortedMax = 8;  // then it is the caller's affair

  struct Slot final : BlockRequest {
    void OnDone(BlockResult with) override { queue->OnSlotDone(*this, with); }

    PersistentBlockQueue* queue = nullptr;
    BlockRequest* outer = nullptr;
    uint32_t aborted = 0;
    Instant first_gone = kInfiniteFuture;  // of this request
  };

  void Begin(BlockRequest& request) {
    Slot& slot = static_cast<Slot&>(free_.front());
    free_.pop_front();
    slot.outer = &request;
    slot.aborted = 0;
    slot.first_gone = kInfiniteFuture;
    slot.operation = request.operation;
    slot.force_unit_access = request.force_unit_access;
    slot.may_unmap = request.may_unmap;
    slot.offset = request.offset;
    slot.bytes = request.bytes;
    slot.segments = request.segments;
    slot.extents = request.extents;
    Forward(slot);
  }

  void Forward(Slot& slot) {
    if (!usable_) return Park(slot);
    ++below_;
    inner_->Submit(slot);
  }

  void Park(Slot& slot) {
    parked_.push_back(slot);
    if (!absent_.armed()) absent_.Arm(executor_.Now() + shared_->options.absence_max);
  }

  void OnSlotDone(Slot& slot, BlockResult result) {
    --below_;
    if (result == BlockResult::kGone) usable_ = false;  // until there is another device
    const bool again = (result == BlockResult::kGone && MayComeBack(slot)) ||
                       (result == BlockResult::kAborted && ++slot.aborted < kAbortedMax);
    if (again) Park(slot);
    if (again || (below_ == 0 && !usable_)) changed_.Signal();
    if (!again) End(slot, result);
  }

  // A device that takes every request but this one would go and come back for ever.
  bool MayComeBack(Slot& slot) {
    slot.first_gone = std::min(slot.first_gone, executor_.Now());
    return executor_.Now() - slot.first_gone < shared_->options.absence_max;
  }

  void End(Slot& slot, BlockResult result) {
    BlockRequest& request = *slot.outer;
    request.extent_count = slot.extent_count;
    free_.push_front(slot);
    if (!waiting_.empty()) {
      BlockRequest& next = waiting_.front();
      waiting_.pop_front();
      Begin(next);
    }
    request.OnDone(result);
  }

  // There may be another device now, or none; or something is to be submitted again.
  void OnChanged() {
    std::shared_ptr<BlockDevice> device;
    uint64_t generation;
    {
      const std::lock_guard lock(shared_->mutex);
      device = shared_->device;
      generation = shared_->generation;
    }
    if (generation != generation_) {
      usable_ = false;
      if (below_ != 0) return;  // the old one ends what it has; then this is called again
      generation_ = generation;
      Take(std::move(device));
    }
    if (!usable_) return;
    absent_.Disarm();
    boost::intrusive::list<BlockRequest> parked;
    parked.swap(parked_);
    while (!parked.empty()) {
      Slot& slot = static_cast<Slot&>(parked.front());
      parked.pop_front();
      Forward(slot);
    }
  }

  void Take(std::shared_ptr<BlockDevice> device) {
    inner_.reset();
    device_ = std::move(device);
    inner_ = device_ != nullptr ? device_->OpenQueue(executor_) : nullptr;
    usable_ = inner_ != nullptr;
  }

  void OnAbsentTooLong() {
    boost::intrusive::list<BlockRequest> parked, waiting;
    parked.swap(parked_);
    waiting.swap(waiting_);
    while (!parked.empty()) {
      Slot& slot = static_cast<Slot&>(parked.front());
      parked.pop_front();
      End(slot, BlockResult::kGone);
    }
    while (!waiting.empty()) {
      BlockRequest& request = waiting.front();
      waiting.pop_front();
      request.OnDone(BlockResult::kGone);
    }
  }

  const std::shared_ptr<Shared> shared_;
  Executor& executor_;
  std::shared_ptr<BlockDevice> device_;
  uint64_t generation_ = 0;
  std::unique_ptr<BlockQueue> inner_;
  bool usable_ = false;  // inner_ takes requests
  uint32_t below_ = 0;   // slots that inner_ has
  std::vector<Slot> slots_;
  boost::intrusive::list<BlockRequest> free_;
  boost::intrusive::list<BlockRequest> waiting_;  // for a slot
  boost::intrusive::list<BlockRequest> parked_;   // slots, for a device
  Event changed_;
  Timer absent_;
};

PersistentBlockDevice::PersistentBlockDevice(std::shared_ptr<BlockDevice> device,
                                             const Options& options)
    : info_(device->info()), shared_(std::make_shared<Shared>(options)) {
  shared_->bytes = device->bytes();
  shared_->device = std::move(device);
}

PersistentBlockDevice::~PersistentBlockDevice() = default;

absl::Status PersistentBlockDevice::CheckSame(const BlockInfo& other) const {
  const auto differs = [](absl::string_view what, const auto& is, const auto& was) {
    return absl::InvalidArgumentError(
        absl::StrCat("another disk: its ", what, " is ", is, ", was ", was));
  };
  if (other.id != info_.id) return differs("id", other.id, info_.id);
  if (other.block_bytes != info_.block_bytes)
    return differs("block size", other.block_bytes, info_.block_bytes);
  if (other.read_only && !info_.read_only)
    return absl::InvalidArgumentError("the disk is read-only now");
  if (other.physical_block_bytes > info_.physical_block_bytes) {
    return differs("physical block size", other.physical_block_bytes, info_.physical_block_bytes);
  }
  // Without a flush, which users of a disk without a cache do not send, its writes would be lost.
  if (other.volatile_cache && !info_.volatile_cache)
    return absl::InvalidArgumentError("the disk has a volatile cache now");
  if (!other.force_unit_access && info_.force_unit_access)
    return absl::InvalidArgumentError("the disk has no forced unit access any more");
  if (!other.discard && info_.discard)
    return absl::InvalidArgumentError("the disk does not discard any more");
  if (!other.write_zeroes && info_.write_zeroes)
    return absl::InvalidArgumentError("the disk does not write zeroes any more");
  if (other.discard_bytes_max < info_.discard_bytes_max)
    return differs("most bytes to discard", other.discard_bytes_max, info_.discard_bytes_max);
  if (other.write_zeroes_bytes_max < info_.write_zeroes_bytes_max) {
    return differs("most bytes of zeroes", other.write_zeroes_bytes_max,
                   info_.write_zeroes_bytes_max);
  }
  return absl::OkStatus();
}

absl::Status PersistentBlockDevice::Attach(std::shared_ptr<BlockDevice> device) {
  if (absl::Status same = CheckSame(device->info()); !same.ok()) return same;
  const uint64_t bytes = device->bytes();
  const std::lock_guard lock(shared_->mutex);
  if (bytes < shared_->bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("another disk: its size is ", bytes, ", was ", shared_->bytes));
  }
  ++shared_->generation;
  shared_->bytes = bytes;
  shared_->device = std::move(device);
  for (Event* changed : shared_->changed) changed->Signal();
  return absl::OkStatus();
}

void PersistentBlockDevice::Detach() {
  const std::lock_guard lock(shared_->mutex);
  ++shared_->generation;
  shared_->device = nullptr;
  for (Event* changed : shared_->changed) changed->Signal();
}

uint64_t PersistentBlockDevice::bytes() const {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->device != nullptr) shared_->bytes = shared_->device->bytes();
  return shared_->bytes;
}

std::unique_ptr<BlockQueue> PersistentBlockDevice::OpenQueue(Executor& executor) {
  return std::make_unique<PersistentBlockQueue>(shared_, executor);
}

absl::StatusOr<BlockBuffer> PersistentBlockDevice::AllocateBuffer(size_t bytes) {
  std::shared_ptr<BlockDevice> device;
  {
    const std::lock_guard lock(shared_->mutex);
    device = shared_->device;
  }
  if (device != nullptr) {
    absl::StatusOr<BlockBuffer> buffer = device->AllocateBuffer(bytes);
    if (buffer.ok() || absl::IsResourceExhausted(buffer.status())) return buffer;
  }
  // It is away, or about to be: users of the disk need not know. The next device moves it with a copy.
  return BlockBuffer::OfHeap(bytes);
}

}  // namespace vmbuskit
