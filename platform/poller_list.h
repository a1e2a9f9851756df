// The started pollers of one executor.
//
//   PollerList pollers(Duration::zero());
//   pollers.Add(poller, now);       // from Executor::AddPoller: due at once
//   pollers.RunDue(now);            // every poller whose time has come, once
//
// Handlers may start and stop any poller, their own too. Thread safety: none; the executor's.
#ifndef VMBUSKIT_PLATFORM_POLLER_LIST_H_
#define VMBUSKIT_PLATFORM_POLLER_LIST_H_

#include <boost/intrusive/list.hpp>
#include <cstddef>

#include "platform/executor.h"
#include "platform/time.h"

namespace vmbuskit {

class PollerList {
 public:
  // A poller with period zero gets `zero_period` (zero: it is always due).
  explicit PollerList(Duration zero_period) : zero_period_(zero_period) {}
  ~PollerList();
  PollerList(const PollerList&) = delete;
  PollerList& operator=(const PollerList&) = delete;

  void Add(Poller& poller, Instant now);
  void Remove(Poller& poller);

  // When the next poller is due; kInfiniteFuture when there is none.
  Instant NextRun() const;
  // How many ran.
  size_t RunDue(Instant now);

  bool empty() const { return list_.empty(); }

 private:
  using List = boost::intrusive::list<Poller>;

  const Duration zero_period_;
  List list_;
  List::iterator cursor_ = list_.end();  // what RunDue looks at next
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_POLLER_LIST_H_
