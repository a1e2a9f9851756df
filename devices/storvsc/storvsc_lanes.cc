#include "devices/storvsc/storvsc_lanes.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {
namespace {

constexpr size_t kOverdueAddressesMax = 256;

// Ends that the bus causes: what happens next, it says itself.
bool EndedByBus(const absl::Status& reason) {
  return absl::IsUnavailable(reason) || absl::IsCancelled(reason);
}

}  // namespace

// A lane and what it reports, on its way to the device's executor.
class StorvscLanes::Entry final : public ScsiLaneListener {
 public:
  Entry(StorvscLanes& owner, uint16_t index, Executor& executor)
      : owner_(owner),
        index_(index),
        executor_(executor),
        attention_(owner.context_.executor(), Callback::To<&Entry::OnAttention>(this)) {}

  uint16_t index() const { return index_; }
  Executor& executor() const { return executor_; }

  // ---- The lane's executor.
  std::shared_ptr<ScsiLane> lane;

  std::vector<BlockAddress> TakeOverdue() { return std::exchange(overdue_, {}); }
  uint64_t strays() const { return strays_; }

  void OnUnsolicited(ScsiLane&, uint32_t operation, std::span<const std::byte> packet) override {
    // Only the primary has any (section 4.1), and it is on the device's executor.
    if (index_ == 0) {
      owner_.listener_.OnUnsolicited(operation, packet);
    } else {
      ++strays_;
    }
  }
  void OnOverdue(ScsiLane&, const ScsiCommand& command) override {
    const bool known =
        std::find(overdue_.begin(), overdue_.end(), command.address) != overdue_.end();
    if (!known && overdue_.size() < kOverdueAddressesMax) overdue_.push_back(command.address);
    is_overdue_.store(true, std::memory_order_relaxed);
    attention_.Signal();
  }
  void OnLaneClosed(ScsiLane&, const absl::Status& reason) override {
    closed_ = reason;
    is_closed_.store(true, std::memory_order_release);
    attention_.Signal();
  }

 private:
  // The device's executor.
  void OnAttention() {
    if (is_overdue_.exchange(false, std::memory_order_relaxed)) owner_.listener_.OnOverdue();
    if (!is_closed_.load(std::memory_order_acquire) || std::exchange(told_, true)) return;
    if (index_ == 0 || !EndedByBus(closed_)) owner_.listener_.OnLaneFailed(closed_);
  }

  StorvscLanes& owner_;
  const uint16_t index_;
  Executor& executor_;

  std::vector<BlockAddress> overdue_;
  uint64_t strays_ = 0;
  absl::Status closed_;  // written once, before is_closed_
  std::atomic<bool> is_overdue_ = false;
  std::atomic<bool> is_closed_ = false;
  bool told_ = false;  // the device's executor
  Event attention_;
};

StorvscLanes::StorvscLanes(DeviceContext& context, StorvscLanesListener& listener)
    : context_(context), listener_(listener) {}

StorvscLanes::~StorvscLanes() { assert(entries_.empty()); }

ScsiLane& StorvscLanes::primary() const { return *entries_.front()->lane; }

std::shared_ptr<ScsiLane> StorvscLanes::shared_primary() const { return entries_.front()->lane; }

StorvscLanes::EntryPointer StorvscLanes::Find(uint16_t index) const {
  for (const EntryPointer& entry : entries_) {
    if (entry->index() == index) return entry;
  }
  return nullptr;
}

Task<absl::Status> StorvscLanes::OpenPrimary() {
  absl::StatusOr<Channel*> channel = co_await context_.OpenChannel();
  if (!channel.ok()) co_return channel.status();
  co_return co_await Adopt(0, *channel);
}

Task<absl::Status> StorvscLanes::OpenSubchannel(uint16_t index) {
  absl::StatusOr<Channel*> channel = co_await context_.OpenSubchannel(index);
  if (!channel.ok()) co_return channel.status();
  co_return co_await Adopt(index, *channel);
}

Task<absl::Status> StorvscLanes::Adopt(uint16_t index, Channel* channel) {
  Executor& executor = channel->executor();
  const auto entry = std::make_shared<Entry>(*this, index, executor);
  // Now, so that a rescind finds it: its visit to the executor comes after this one. So does that of whoever destroys
  // the channel.
  entries_.push_back(entry);
  co_await SwitchTo(executor);
  absl::Status status = channel->reason();
  if (status.ok()) {
    entry->lane = std::make_shared<ScsiLane>(*channel, *entry);
    if (index != 0) entry->lane->SetVersion(version_);
    entry->lane->Start();
    if (index != 0) shared_->Add(*entry->lane);
  }
  co_await SwitchTo(context_.executor());
  if (!status.ok()) std::erase(entries_, entry);
  co_return status;
}

Task<void> StorvscLanes::EndSubchannel(uint16_t index) {
  EntryPointer entry = Find(index);
  if (index == 0 || entry == nullptr) co_return;
  std::erase(entries_, entry);
  ++subchannels_ended_;
  co_await End(std::move(entry), ScsiEnd::kGone);
}

Task<void> StorvscLanes::End(EntryPointer entry, ScsiEnd end) {
  co_await SwitchTo(entry->executor());
  {
    const std::shared_ptr<ScsiLane> lane = std::exchange(entry->lane, nullptr);
    if (lane != nullptr) {
      shared_->Remove(*lane);
      if (end == ScsiEnd::kLost) lane->WithholdMemory(context_.pages());
      lane->EndAll(end);
    }
  }
  co_await SwitchTo(context_.executor());
}

Task<bool> StorvscLanes::Drain(Duration limit) {
  const Instant deadline = context_.executor().Now() + limit;
  bool drained = true;
  const std::vector<EntryPointer> entries = entries_;
  for (const EntryPointer& entry : entries) {
    const Duration left =
        std::max<Duration>(deadline - context_.executor().Now(), Duration::zero());
    co_await SwitchTo(entry->executor());
    {
      const std::shared_ptr<ScsiLane> lane = entry->lane;
      if (lane != nullptr && !lane->closed()) {
        const bool empty = co_await lane->Drained(left);
        drained = drained && empty;
      }
    }
    co_await SwitchTo(context_.executor());
  }
  co_return drained;
}

Task<void> StorvscLanes::EndAll(ScsiEnd end) {
  const std::vector<EntryPointer> entries = std::exchange(entries_, {});
  for (const EntryPointer& entry : entries) co_await End(entry, end);
}

Task<std::vector<BlockAddress>> StorvscLanes::TakeOverdue() {
  std::vector<BlockAddress> addresses;
  const std::vector<EntryPointer> entries = entries_;
  for (const EntryPointer& entry : entries) {
    co_await SwitchTo(entry->executor());
    for (const BlockAddress& address : entry->TakeOverdue()) {
      const bool known = std::find(addresses.begin(), addresses.end(), address) != addresses.end();
      if (!known) addresses.push_back(address);
    }
    co_await SwitchTo(context_.executor());
  }
  co_return addresses;
}

Task<uint32_t> StorvscLanes::CountOverdue() {
  uint32_t count = 0;
  const std::vector<EntryPointer> entries = entries_;
  for (const EntryPointer& entry : entries) {
    co_await SwitchTo(entry->executor());
    if (entry->lane != nullptr) count += entry->lane->overdue();
    co_await SwitchTo(context_.executor());
  }
  co_return count;
}

Task<void> StorvscLanes::Inspect(InspectNode& node) {
  node.Set("lanes", count());
  node.Set("subchannels_ended", subchannels_ended_);
  const std::vector<EntryPointer> entries = entries_;
  for (const EntryPointer& entry : entries) {
    const std::string name = absl::StrCat("lane ", entry->index());
    co_await SwitchTo(entry->executor());
    if (entry->lane != nullptr) {
      InspectNode& child = node.Child(name);
      child.Set("cpu", entry->executor().cpu());
      child.Set("overdue_now", entry->lane->overdue());
      child.Set("unsolicited_on_subchannel", entry->strays());
      entry->lane->Inspect(child);
    }
    co_await SwitchTo(context_.executor());
  }
}

}  // namespace vmbuskit
