#include "transports/synic/channel_port.h"

#include <utility>

#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

ChannelPort::ChannelPort(Partition& partition, uint32_t vp, const Offer& offer, GuestRings rings,
                         MonitorPage* monitor_page)
    : partition_(partition),
      vp_(vp),
      relid_(offer.relid),
      connection_id_(offer.connection_id),
      monitor_id_(offer.monitor_id),
      monitor_page_(offer.monitor_allocated ? monitor_page : nullptr),
      rings_(std::move(rings)) {}

std::unique_ptr<Channel> ChannelPort::MakeChannel(Executor& executor, Channel::Options options) {
  options.outgoing = rings_.outgoing;
  options.incoming = rings_.incoming;
  options.signal_peer = Callback::To<&ChannelPort::SignalHost>(this);
  options.guest_end = true;
  auto made = std::make_unique<Channel>(executor, std::move(options));
  channel_ = made.get();
  channel = made.get();
  return made;
}

Callback ChannelPort::TargetOn(Executor& executor) {
  if (&executor == &channel_->executor()) return Callback::To<&ChannelPort::OnInterrupt>(this);
  return Callback::To<&Event::Signal>(&channel_->wake());
}

void ChannelPort::OnInterrupt() {
  if (!delivering_) {
    ++counters_.early_interrupts;
    return;
  }
  channel_->OnSignal();
}

void ChannelPort::Deliver() {
  delivering_ = true;
  // A channel that is not started yet looks at its ring when it is.
  if (counters_.early_interrupts != 0) channel_->wake().Signal();
}

void ChannelPort::Detach() { detached_ = true; }

void ChannelPort::SignalHost() {
  if (detached_) return;
  if (monitor_page_ != nullptr) {
    ++counters_.monitor_bits;
    SetMonitorBit(*monitor_page_, monitor_id_);
    return;
  }
  ++counters_.hypercalls;
  const uint64_t result = partition_.Hypercall(vp_, kCallSignalEventFast, connection_id_, 0);
  // INVALID_CONNECTION_ID: closed or rescinded meanwhile, which is told by other means.
  if (ResultStatus(result) != HypercallStatus::kSuccess) ++counters_.refused_signals;
}

}  // namespace vmbuskit
