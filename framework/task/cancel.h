// A cancellation scope: everything that waits under it fails at once, with one reason, when the
// thing that it belongs to ends (a channel was rescinded, a connection lost, a device stops).
//
//   CancelScope scope_;                                               // of the connection
//   OneShot<Reply> reply(executor, "OPEN_CHANNEL_RESULT", &scope_);   // registers itself
//   scope_.Cancel(absl::UnavailableError("channel 5 was rescinded")); // the wait ends with that
//
// A scope once cancelled stays so: what registers later fails immediately.
// Thread safety: one executor, the same for the scope and everything registered. Lifetime: what is
// registered may go at any time; a scope goes after all of it.
#ifndef VMBUSKIT_FRAMEWORK_TASK_CANCEL_H_
#define VMBUSKIT_FRAMEWORK_TASK_CANCEL_H_

#include <boost/intrusive/list.hpp>
#include <cassert>

#include "absl/status/status.h"

namespace vmbuskit {

// Something that a scope can end. Leaves the scope when destroyed.
class Cancellable : public boost::intrusive::list_base_hook<
                        boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual ~Cancellable() = default;

  // The scope ended. Must not resume anybody inside (a Waiter does not).
  virtual void OnCancel(const absl::Status& reason) = 0;
};

class CancelScope {
 public:
  CancelScope() = default;
  ~CancelScope() { assert(registered_.empty()); }
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

  // `reason` is an error. The first one stays; a second call does nothing.
  void Cancel(const absl::Status& reason) {
    assert(!reason.ok());
    if (cancelled()) return;
    reason_ = reason;
    while (!registered_.empty()) {
      Cancellable& first = registered_.front();
      registered_.pop_front();
      first.OnCancel(reason_);
    }
  }

  void Register(Cancellable& cancellable) {
    if (cancelled()) {
      cancellable.OnCancel(reason_);
    } else {
      registered_.push_back(cancellable);
    }
  }

  bool cancelled() const { return !reason_.ok(); }
  const absl::Status& reason() const { return reason_; }

 private:
  boost::intrusive::list<Cancellable, boost::intrusive::constant_time_size<false>> registered_;
  absl::Status reason_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_TASK_CANCEL_H_
