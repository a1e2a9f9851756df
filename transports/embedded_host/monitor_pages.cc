#include "transports/embedded_host/monitor_pages.h"

#include <atomic>
#include <bit>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "framework/base/saved_state.h"

namespace vmbuskit {

absl::Status MonitorPages::Map(Gpa parent_to_child, Gpa child_to_parent) {
  MonitorPage* found = nullptr;
  for (Gpa gpa : {parent_to_child, child_to_parent}) {
    if (gpa % kPageSize != 0 || gpa == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("monitor page: address 0x", absl::Hex(gpa), " is not that of a page"));
    }
    absl::StatusOr<std::span<std::byte>> page = memory_.Translate(gpa, kPageSize);
    if (!page.ok()) return page.status();
    found = reinterpret_cast<MonitorPage*>(page->data());
  }
  child_to_parent_ = found;
  parent_to_child_gpa_ = parent_to_child;
  child_to_parent_gpa_ = child_to_parent;
  StartOrStopPolling();
  return absl::OkStatus();
}

void MonitorPages::Unmap() {
  child_to_parent_ = nullptr;
  StartOrStopPolling();
}

void MonitorPages::Connect(uint8_t monitor_id, Event* target) {
  if (targets_[monitor_id] != nullptr) --connected_;
  if (target != nullptr) ++connected_;
  targets_[monitor_id] = target;
  StartOrStopPolling();
}

void MonitorPages::StartOrStopPolling() {
  idle_.Stop();
  busy_.Stop();
  empty_scans_ = 0;
  if (mapped() && connected_ > 0) busy_.Start();
}

void MonitorPages::Poll() {
  if (child_to_parent_ == nullptr) return;
  ++scans_;
  if (Scan()) {
    empty_scans_ = 0;
    if (connected_ == 0) return;
    idle_.Stop();
    busy_.Start();
  } else if (++empty_scans_ == kBusyScansMax && connected_ > 0) {
    busy_.Stop();
    idle_.Start();
  }
}

bool MonitorPages::Scan() {
  bool any = false;
  for (uint32_t group = 0; group < kMonitorGroups; ++group) {
    std::atomic_ref<uint32_t> pending(child_to_parent_->trigger_group[group].pending);
    if (pending.load(std::memory_order_relaxed) == 0) continue;
    any = true;
    uint32_t bits = pending.exchange(0);
    for (; bits != 0; bits &= bits - 1) {
      Event* const target = targets_[group * kMonitorsPerGroup + std::countr_zero(bits)];
      ++(target != nullptr ? signals_ : unconnected_);
      if (target != nullptr) target->Signal();
    }
  }
  return any;
}

template <typename Archive>
void MonitorPages::Exchange(Archive& archive) {
  bool mapped = this->mapped();
  archive(mapped);
  archive(parent_to_child_gpa_);
  archive(child_to_parent_gpa_);
  archive(signals_);
  archive(unconnected_);
  if constexpr (Archive::kLoading) {
    Unmap();
    if (!mapped || !archive.ok()) return;
    if (!Map(parent_to_child_gpa_, child_to_parent_gpa_).ok()) {
      archive.Fail("monitor page", child_to_parent_gpa_, "no pages of this guest");
    }
  }
}

template void MonitorPages::Exchange(StateWriter& archive);
template void MonitorPages::Exchange(StateReader& archive);

void MonitorPages::Inspect(InspectNode& node) const {
  node.Set("mapped", mapped());
  node.Set("signals", signals_);
  node.Set("unconnected", unconnected_);
}

}  // namespace vmbuskit
