// For tests: the wire between one channel's signal and the other's wake-up, and what can go wrong
// on it.
//
//   SignalLine line(receiver_executor);
//   line.Connect(&receiver);                         // a Channel; null: signals are only counted
//   options.signal_peer = line.raise();
//   line.Drop(1);                                    // the next signal is lost
//   line.set_delay(std::chrono::milliseconds(3));    // later ones come late
//
// Thread safety: the simulation's thread.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_SIGNAL_LINE_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_SIGNAL_LINE_H_

#include <cstdint>
#include <utility>

#include "framework/channel/channel.h"
#include "platform/executor.h"

namespace vmbuskit {

class SignalLine {
 public:
  explicit SignalLine(Executor& receiver)
      : receiver_executor_(receiver),
        late_(receiver, Callback::To<&SignalLine::Deliver>(this)),
        again_(receiver, Callback::To<&SignalLine::Deliver>(this)) {}

  void Connect(Channel* receiver) { receiver_ = receiver; }
  Callback raise() { return Callback::To<&SignalLine::Raise>(this); }

  void Raise() {
    ++raised_;
    if (dropping_ != 0) {
      --dropping_;
      return;
    }
    if (delay_ != Duration::zero()) {
      if (!late_.armed()) late_.Arm(receiver_executor_.Now() + delay_);
    } else {
      Deliver();
    }
    if (duplicate_) again_.Arm(receiver_executor_.Now() + delay_ + std::chrono::microseconds(1));
  }

  // The next `count` signals are lost.
  void Drop(uint32_t count) { dropping_ = count; }
  // Every signal comes again a microsecond later.
  void set_duplicate(bool duplicate) { duplicate_ = duplicate; }
  // Signals come that much later; those in between merge.
  void set_delay(Duration delay) { delay_ = delay; }

  uint64_t raised() const { return raised_; }
  // Since the last call.
  uint64_t TakeRaised() { return raised_ - std::exchange(taken_, raised_); }

 private:
  void Deliver() {
    if (receiver_ != nullptr) receiver_->wake().Signal();
  }

  Executor& receiver_executor_;
  Channel* receiver_ = nullptr;
  Timer late_;
  Timer again_;
  Duration delay_ = Duration::zero();
  uint32_t dropping_ = 0;
  bool duplicate_ = false;
  uint64_t raised_ = 0;
  uint64_t taken_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_SIGNAL_LINE_H_
