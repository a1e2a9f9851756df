// Requests that have ended and are told so in a turn of their own, because OnDone never runs inside Submit.
//
//   BlockCompletions completions(executor);
//   completions.End(request, BlockResult::kOutOfRange);      // OnDone follows
//
// Thread safety: the executor's. Lifetime: destroyed with nothing outstanding, as the queue that it belongs to, and
// not from inside OnDone.
#ifndef VMBUSKIT_FRAMEWORK_INTERFACES_BLOCK_COMPLETIONS_H_
#define VMBUSKIT_FRAMEWORK_INTERFACES_BLOCK_COMPLETIONS_H_

#include <boost/intrusive/list.hpp>
#include <cassert>

#include "framework/interfaces/block_device.h"
#include "platform/executor.h"

namespace vmbuskit {

class BlockCompletions {
 public:
  explicit BlockCompletions(Executor& executor)
      : report_(executor, Callback::To<&BlockCompletions::Report>(this)) {}
  ~BlockCompletions() { assert(ended_.empty()); }
  BlockCompletions(const BlockCompletions&) = delete;
  BlockCompletions& operator=(const BlockCompletions&) = delete;

  // `request` is in nobody's list.
  void End(BlockRequest& request, BlockResult result) {
    request.result = result;
    ended_.push_back(request);
    report_.Signal();
  }
  bool empty() const { return ended_.empty(); }

 private:
  void Report() {
    // Those that end meanwhile are of the next turn.
    boost::intrusive::list<BlockRequest> ended;
    ended.swap(ended_);
    while (!ended.empty()) {
      BlockRequest& request = ended.front();
      ended.pop_front();
      request.OnDone(request.result);
    }
  }

  boost::intrusive::list<BlockRequest> ended_;
  Event report_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_INTERFACES_BLOCK_COMPLETIONS_H_
