#include "framework/bus/simple_device.h"

#include "framework/task/deadline.h"

namespace vmbuskit {

SimpleDevice::SimpleDevice(DeviceContext& context)
    : context_(context), gate_(context.executor(), "simple device") {}

SimpleDevice::~SimpleDevice() = default;

Task<absl::Status> SimpleDevice::Start() {
  absl::StatusOr<Channel*> channel = co_await context_.OpenChannel();
  if (!channel.ok()) co_return channel.status();
  if ((*channel)->closed()) co_return (*channel)->reason();  // on the way here
  channel_ = *channel;
  channel_->Start(*this);
  absl::Status negotiated = co_await Negotiate(**channel);
  co_return negotiated;
}

Task<absl::Status> SimpleDevice::Negotiate(Channel& channel) {
  (void)channel;
  co_return absl::OkStatus();
}

Task<void> SimpleDevice::PrepareStop(StopReason reason) {
  const Instant deadline = DeadlineIn(context_.executor());
  absl::Status drained = co_await gate_.Close(deadline);
  // Closing ends every request with an error, so what the first wait did not see end does now.
  (void)co_await context_.CloseChannels();
  if (!drained.ok()) (void)co_await gate_.Close(DeadlineIn(context_.executor()));
  OnStopped(reason);
}

void SimpleDevice::OnClosed(Channel& channel, const absl::Status& reason) {
  // Now, not when PrepareStop is through with closing it: the transport destroys it before that, on
  // another executor.
  if (&channel == channel_) channel_ = nullptr;
  if (!gate_.closed()) context_.Fail(reason);
}

}  // namespace vmbuskit
