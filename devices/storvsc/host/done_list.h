// Requests that have ended and are still to be told so: what a back end that answers at once needs, because OnDone must
// not be called from inside Submit.
//
//   void Submit(BlockRequest& request) override { done_.Add(request, Carry(request)); }   // OnDone at the next turn
//
// Thread safety: the executor. Lifetime: empty at destruction. Nothing is allocated.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_DONE_LIST_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_DONE_LIST_H_

#include <boost/intrusive/list.hpp>
#include <cassert>
#include <cstdint>

#include "framework/interfaces/block_device.h"
#include "platform/executor.h"

namespace vmbuskit {

class DoneList {
 public:
  explicit DoneList(Executor& executor) : event_(executor, Callback::To<&DoneList::Run>(this)) {}
  ~DoneList() {
    assert(good_.empty());
    for ([[maybe_unused]] const Requests& list : failed_) assert(list.empty());
  }
  DoneList(const DoneList&) = delete;
  DoneList& operator=(const DoneList&) = delete;

  void Add(BlockRequest& request, BlockResult result) {
    if (result == BlockResult::kOk) [[likely]] {
      good_.push_back(request);
    } else {
      failed_[static_cast<uint8_t>(result)].push_back(request);
      any_failed_ = true;
    }
    event_.Signal();
  }

 private:
  using Requests =
      boost::intrusive::list<BlockRequest, boost::intrusive::constant_time_size<false>>;
  static constexpr uint32_t kResults = static_cast<uint32_t>(BlockResult::kLost) + 1;

  // What is submitted meanwhile is for the next turn. The last OnDone may destroy this list.
  void Run() {
    if (any_failed_) return RunAll();
    Requests now;
    now.swap(good_);
    End(now, BlockResult::kOk);
  }
  void RunAll() {
    Requests good;
    Requests failed[kResults];
    good.swap(good_);
    for (uint32_t i = 0; i < kResults; ++i) failed[i].swap(failed_[i]);
    any_failed_ = false;
    End(good, BlockResult::kOk);
    for (uint32_t i = 0; i < kResults; ++i) End(failed[i], static_cast<BlockResult>(i));
  }
  static void End(Requests& requests, BlockResult result) {
    while (!requests.empty()) {
      BlockRequest& request = requests.front();
      requests.pop_front();
      request.OnDone(result);
    }
  }

  Requests good_;
  Requests failed_[kResults];
  bool any_failed_ = false;
  Event event_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_DONE_LIST_H_
