// The guest's introduction to the hypervisor: is it one, what does it offer, and the page that
// makes hypercalls work.
// Source: protocol 01 sections 1.1, 2.1 and 2.2.
//
//   absl::StatusOr<HypervisorInfo> info = DetectHypervisor(partition);
//   HypercallPage page(partition);
//   VMBUSKIT_RETURN_IF_ERROR(page.Enable(pages, guest_os_id));    // from now on hypercalls work
//   page.Disable();                                               // the last thing at teardown
//
// Thread safety: the executor of VP 0. Errors: Unavailable names the leaf or privilege that is
// missing.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_HYPERVISOR_GUEST_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_HYPERVISOR_GUEST_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/memory.h"
#include "platform/partition.h"

namespace vmbuskit {

struct HypervisorInfo {
  bool direct_timers = false;  // a synthetic timer may interrupt without a message
  bool timers = false;
  bool auto_eoi_allowed = false;
};

// Accepts only a hypervisor that can carry a VMBus: leaves, vendor text, SynIC, hypercalls, VP
// index.
absl::StatusOr<HypervisorInfo> DetectHypervisor(Partition& partition);

class HypercallPage {
 public:
  explicit HypercallPage(Partition& partition) : partition_(partition) {}
  ~HypercallPage() { Disable(); }
  HypercallPage(const HypercallPage&) = delete;
  HypercallPage& operator=(const HypercallPage&) = delete;

  absl::Status Enable(PageAllocator& pages, uint64_t guest_os_id);
  // GUEST_OS_ID first, as section 7.1 orders; then the page is RAM again and goes back.
  void Disable();

 private:
  Partition& partition_;
  PageRun page_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_HYPERVISOR_GUEST_H_
