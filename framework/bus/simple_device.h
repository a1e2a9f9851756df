// A device class with one channel: the base opens it, starts it, drains and closes it; the class
// says what to do with a packet. All of a class may be this:
//
//   class Beeper final : public SimpleDevice {
//    public:
//     explicit Beeper(DeviceContext& context) : SimpleDevice(context) {}
//     void OnPacket(Channel& channel, const Packet& packet) override { channel.Complete(...); }
//   };
//
// Work that outlives one packet callback holds gate() (Gate::Holder) so that the device waits for
// it; it ends by itself because its waits have deadlines, and early when the channel is rescinded.
//
// Thread safety: the device's executor. Ownership: the context owns the channel; channel() is null
// before Start opened it and from the moment it ended, whoever ended it, and nothing is delivered
// after that.
// Errors: a channel that ended on its own (a peer that broke a rule) fails the device through
// DeviceContext::Fail.
#ifndef VMBUSKIT_FRAMEWORK_BUS_SIMPLE_DEVICE_H_
#define VMBUSKIT_FRAMEWORK_BUS_SIMPLE_DEVICE_H_

#include "absl/status/status.h"
#include "framework/bus/device.h"
#include "framework/channel/channel.h"
#include "framework/task/gate.h"
#include "framework/task/task.h"

namespace vmbuskit {

class SimpleDevice : public Device, public ChannelHandler {
 public:
  explicit SimpleDevice(DeviceContext& context);
  ~SimpleDevice() override;

  Task<absl::Status> Start() final;
  Task<void> PrepareStop(StopReason reason) final;
  void Stop() final {}
  void OnClosed(Channel& channel, const absl::Status& reason) final;

 protected:
  // Called with the channel open and started: packets arrive meanwhile. An error fails the start.
  virtual Task<absl::Status> Negotiate(Channel& channel);
  // The last word of the class: the channel has ended, nothing comes any more.
  virtual void OnStopped(StopReason reason) { (void)reason; }

  DeviceContext& context() const { return context_; }
  Channel* channel() const { return channel_; }
  Gate& gate() { return gate_; }

 private:
  DeviceContext& context_;
  Gate gate_;
  Channel* channel_ = nullptr;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_SIMPLE_DEVICE_H_
