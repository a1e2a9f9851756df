// The guest's monitor pages: a bit set in the child-to-parent page signals a channel without a
// hypercall.
//
//   GuestMonitorPages monitors;
//   VMBUSKIT_RETURN_IF_ERROR(monitors.Allocate(pages));
//   monitors.Use(memory, client.pages().child_to_parent);     // ours, or the ones the host chose
//   SetMonitorBit(*monitors.page(), offer.monitor_id);
//
// Thread safety: Allocate, Use and Release on the bus executor; SetMonitorBit from any, while the
// page is shared.
// Ownership: owns its two pages; Release tells whether the host let go of them. Source: protocol 02
// section 9.2.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_MONITOR_PAGES_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_MONITOR_PAGES_H_

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "platform/memory.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

// `monitor_id` below 128, as the offer check made sure.
inline void SetMonitorBit(MonitorPage& page, uint8_t monitor_id) {
  std::atomic_ref<uint32_t> pending(
      page.trigger_group[monitor_id / kMonitorsPerGroup % kMonitorGroups].pending);
  pending.fetch_or(uint32_t{1} << monitor_id % kMonitorsPerGroup);
}

class GuestMonitorPages {
 public:
  // Two zeroed pages.
  absl::Status Allocate(PageAllocator& pages) {
    absl::StatusOr<PageRun> run = pages.Allocate(2);
    if (!run.ok()) return run.status();
    pages_ = *std::move(run);
    return absl::OkStatus();
  }

  Gpa parent_to_child_gpa() const { return pages_ ? pages_.gpa() : 0; }
  Gpa child_to_parent_gpa() const { return pages_ ? pages_.gpa() + kPageSize : 0; }
  uint32_t page_count() const { return pages_.count(); }

  // Sends bits through the page at `child_to_parent` from now on; not at all when that is no memory
  // of ours.
  void Use(GuestMemory& memory, Gpa child_to_parent) {
    page_ = nullptr;
    if (child_to_parent == 0) return;
    absl::StatusOr<std::span<std::byte>> bytes = memory.Translate(child_to_parent, kPageSize);
    if (bytes.ok()) page_ = reinterpret_cast<MonitorPage*>(bytes->data());
  }
  // Null: signal by hypercall.
  MonitorPage* page() const { return page_; }

  void Release(bool host_let_go) {
    page_ = nullptr;
    if (host_let_go) {
      pages_.Reset();
    } else {
      pages_.Leak();
    }
  }

 private:
  PageRun pages_;
  MonitorPage* page_ = nullptr;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_MONITOR_PAGES_H_
