// The guest's page allocator, with an eye on what comes back: a page that the host still has by a GPADL must not be
// anybody's memory again.
//
//   WatchedPages pages(memory, host, faults);
//   SynicTransport transport(partition, executors, pages, {});
//
// A channel that the host took back does not count: with the RESCIND its pages are the guest's (protocol 02, 5.4).
// Thread safety: the scheduler's thread. Lifetime: outlives the runs that it gave.
#ifndef VMBUSKIT_TESTS_SCENARIO_WATCHED_PAGES_H_
#define VMBUSKIT_TESTS_SCENARIO_WATCHED_PAGES_H_

#include <cstdint>
#include <map>
#include <memory>

#include "platform/sim/reused_memory.h"
#include "tests/scenario/fault_source.h"
#include "tests/scenario/scenario_memory.h"
#include "transports/embedded_host/embedded_host.h"

namespace vmbuskit {

class WatchedPages final : public PageAllocator {
 public:
  WatchedPages(ReusedMemory& memory, const std::unique_ptr<EmbeddedHost>& host, FaultSource& faults)
      : real_(memory, kScenarioFirstPage), host_(host), faults_(faults) {}

  absl::StatusOr<PageRun> Allocate(uint32_t count) override;
  uint64_t allocated() const override { return real_.allocated(); }
  uint64_t leaked() const override { return real_.leaked(); }

 private:
  void Free(Pfn first, uint32_t count) override;
  void Leak(Pfn first, uint32_t count) override;
  void CheckNotShared(Pfn first, uint32_t count);

  SlotPageAllocator real_;
  const std::unique_ptr<EmbeddedHost>& host_;  // a restored one takes its place
  FaultSource& faults_;
  std::map<Pfn, PageRun> runs_;  // given, by first page
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_WATCHED_PAGES_H_
