// A coroutine that waits until a channel has space again.
//
//   absl::Status space = co_await channel.Writable(deadline);   // after a Send said kFull
//
// Ends with Ok when a refused packet would fit (try again, it may be taken already), with the
// channel's reason when the channel ended, or with DeadlineExceeded.
// Thread safety: the channel's executor. The coroutine may be destroyed while it waits.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_WRITABLE_WAIT_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_WRITABLE_WAIT_H_

#include <boost/intrusive/list.hpp>
#include <coroutine>

#include "absl/status/status.h"
#include "framework/task/waiter.h"
#include "platform/time.h"

namespace vmbuskit {

class Channel;

class [[nodiscard]] WritableWait : public boost::intrusive::list_base_hook<
                                       boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  WritableWait(Channel& channel, Instant deadline);

  bool await_ready() const;
  void await_suspend(std::coroutine_handle<> coroutine);
  absl::Status await_resume();

  // For the channel: ends the wait with `result`, at the next turn. The channel may be gone then.
  void End(const absl::Status& result) {
    result_ = result;
    waiter_.Wake();
  }

 private:
  Channel& channel_;
  Waiter waiter_;
  absl::Status result_;
};

using WritableWaits =
    boost::intrusive::list<WritableWait, boost::intrusive::constant_time_size<false>>;

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_WRITABLE_WAIT_H_
