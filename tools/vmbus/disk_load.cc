#include "tools/vmbus/disk_load.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "framework/base/string_view.h"
#include "framework/task/deadline.h"
#include "platform/random.h"

namespace vmbuskit {

class DiskLoad::Slot final : public BlockRequest {
 public:
  Slot(DiskLoad& load, const BlockSegment& memory) : load_(load), memory_(memory) {
    segments = {&memory_, 1};
    bytes = memory.bytes;
  }
  void OnDone(BlockResult with) override { load_.OnSlotDone(*this, with); }

  Instant submitted{};

 private:
  DiskLoad& load_;
  const BlockSegment memory_;
};

DiskLoad::DiskLoad(std::shared_ptr<BlockDevice> disk, Executor& executor, const Options& options)
    : disk_(std::move(disk)),
      executor_(executor),
      options_(options),
      sequence_(options.pattern, disk_->bytes()),
      ended_(executor, "the end of the load's requests") {}

DiskLoad::~DiskLoad() = default;

absl::Status DiskLoad::Prepare() {
  const uint32_t block = options_.pattern.block_bytes;
  // Buffers of their own pages, so that no two requests share one.
  const size_t stride = (size_t{block} + kPageSize - 1) / kPageSize * kPageSize;
  absl::StatusOr<BlockBuffer> buffer = disk_->AllocateBuffer(stride * options_.depth);
  if (!buffer.ok()) return buffer.status();
  buffer_ = *std::move(buffer);
  Random random(options_.pattern.seed);
  for (std::byte& byte : buffer_.bytes()) byte = static_cast<std::byte>(random.Next());
  queue_ = disk_->OpenQueue(executor_);
  if (queue_ == nullptr) return absl::UnavailableError("the disk gives no queue for this executor");
  for (uint32_t i = 0; i < options_.depth; ++i) {
    BlockSegment memory{.data = buffer_.bytes().data() + i * stride, .bytes = block};
    if (buffer_.gpa() != BlockSegment::kNoGpa) memory.gpa = buffer_.gpa(i * stride);
    slots_.push_back(std::make_unique<Slot>(*this, memory));
  }
  return absl::OkStatus();
}

Task<absl::Status> DiskLoad::Run() {
  VMBUSKIT_CO_RETURN_IF_ERROR(Prepare());
  const Instant start = executor_.Now();
  end_ = start + options_.duration;
  for (const std::unique_ptr<Slot>& slot : slots_) {
    if (!IsOver()) SubmitNext(*slot);
  }
  if (under_way_ == 0) (void)ended_.Set();
  const Instant give_up = end_ + kDefaultDeadline;
  const absl::Status ended = co_await ended_.Wait(give_up);
  if (!ended.ok()) co_return ended;
  elapsed_ = executor_.Now() - start;
  queue_.reset();
  co_return failed_;
}

bool DiskLoad::IsOver() const {
  return stop_.load(std::memory_order_relaxed) || !failed_.ok() || executor_.Now() >= end_ ||
         (options_.operations_max != 0 && submitted_ >= options_.operations_max);
}

void DiskLoad::SubmitNext(Slot& slot) {
  const IoSequence::Next next = sequence_.Take();
  slot.operation = next.write ? BlockOperation::kWrite : BlockOperation::kRead;
  slot.offset = next.offset;
  slot.submitted = executor_.Now();
  ++under_way_;
  ++submitted_;
  queue_->Submit(slot);
}

void DiskLoad::OnSlotDone(Slot& slot, BlockResult result) {
  --under_way_;
  if (result == BlockResult::kOk) {
    Totals& totals = slot.operation == BlockOperation::kWrite ? writes_ : reads_;
    ++totals.operations;
    totals.bytes += slot.bytes;
    totals.latencies.Record(executor_.Now() - slot.submitted);
    operations_.store(reads_.operations + writes_.operations, std::memory_order_relaxed);
    bytes_.store(reads_.bytes + writes_.bytes, std::memory_order_relaxed);
  } else if (failed_.ok()) {
    failed_ = absl::UnavailableError(absl::StrCat(ToAbsl(ToString(slot.operation)), " of ",
                                                  slot.bytes, " bytes at ", slot.offset,
                                                  " ended with ", ToAbsl(ToString(result))));
  }
  if (!IsOver()) return SubmitNext(slot);
  if (under_way_ == 0) (void)ended_.Set();
}

}  // namespace vmbuskit
