#include "transports/embedded_host/host_channel.h"

#include <cassert>
#include <span>
#include <utility>
#include <vector>

#include "framework/base/saved_state.h"
#include "framework/base/status.h"
#include "framework/channel/ring_mapping.h"

namespace vmbuskit {
absl::StatusOr<std::unique_ptr<HostChannel>> HostChannel::Create(EmbeddedPartition& partition,
                                                                 MappedPages& mapped,
                                                                 const OpenRequest& request,
                                                                 const Options& options) {
  const std::span<const Pfn> pages = request.ring->pfns;
  const size_t split = request.downstream_page;
  if (split < 2 || pages.size() < split + 2) {
    return Violation(options.name, "downstream_page", split, "each ring has at least two pages");
  }
  absl::StatusOr<Mapping> incoming = mapped.Map(partition.memory(), RingOrder(pages.first(split)));
  if (!incoming.ok()) return incoming.status();
  absl::StatusOr<Mapping> outgoing =
      mapped.Map(partition.memory(), RingOrder(pages.subspan(split)));
  if (!outgoing.ok()) return outgoing.status();
  Rings rings{std::move(*incoming), std::move(*outgoing)};
  return std::unique_ptr<HostChannel>(
      new HostChannel(partition, request, options, std::move(rings)));
}

HostChannel::HostChannel(EmbeddedPartition& partition, const OpenRequest& request,
                         const Options& options, Rings rings)
    : partition_(partition),
      connection_id_(request.connection_id),
      monitor_id_(request.monitor_id),
      sint_(options.sint),
      event_flag_(request.event_flag),
      target_vp_(request.reserved ? kNoTargetVp : request.target_vp),
      rings_(std::move(rings)),
      guest_signal_(partition.host_executor(), Callback::To<&HostChannel::OnGuestSignal>(this)),
      resume_(partition.host_executor(), Callback::To<&HostChannel::OnGuestSignal>(this)) {
  const std::span<const Pfn> ring_pages = request.ring->pfns;
  Channel::Options channel{
      .name = options.name,
      .incoming = RingOf(partition.memory(), ring_pages.front(), rings_.incoming.bytes()),
      .outgoing =
          RingOf(partition.memory(), ring_pages[request.downstream_page], rings_.outgoing.bytes()),
      .signal_peer = Callback::To<&HostChannel::SignalGuest>(this),
      .max_packet_bytes = options.max_packet_bytes,
      .guest_end = false};
  channel_ = std::make_unique<Channel>(partition.host_executor(), std::move(channel));
}

HostChannel::~HostChannel() { assert(!connected_); }

absl::Status HostChannel::Connect() {
  VMBUSKIT_RETURN_IF_ERROR(partition_.AddEventPort(connection_id_, &guest_signal_));
  if (monitor_id_ < kMonitorCount) partition_.monitor_pages().Connect(monitor_id_, &guest_signal_);
  connected_ = true;
  return absl::OkStatus();
}

void HostChannel::Disconnect() {
  if (!std::exchange(connected_, false)) return;
  partition_.RemoveEventPort(connection_id_);
  if (monitor_id_ < kMonitorCount) partition_.monitor_pages().Connect(monitor_id_, nullptr);
  guest_signal_.Cancel();
  resume_.Disarm();
}

void HostChannel::OnGuestSignal() {
  SignalThrottle& throttle = partition_.throttle();
  const Instant now = partition_.host_executor().Now();
  if (throttle.Suspended(now)) {
    ++signals_delayed_;
    resume_.Arm(throttle.resume_at());
    return;
  }
  const uint64_t empty_before = channel_->counters().empty_wakeups;
  channel_->OnSignal();
  throttle.OnSignal(channel_->counters().empty_wakeups != empty_before, now);
}

void HostChannel::SignalGuest() {
  if (target_vp_ == kNoTargetVp) return;
  const EventResult result = partition_.SetEventFlag(target_vp_, sint_, event_flag_);
  if (result == EventResult::kLost) ++interrupts_lost_;
}

template <typename Archive>
void HostChannel::Exchange(Archive& archive) {
  archive(interrupts_lost_);
  archive(signals_delayed_);
  archive(*channel_);
}

template void HostChannel::Exchange(StateWriter& archive);
template void HostChannel::Exchange(StateReader& archive);

void HostChannel::Inspect(InspectNode& node) const {
  node.Set("connection_id", connection_id_);
  node.Set("event_flag", event_flag_);
  node.Set("target_vp", target_vp_);
  node.Set("sint", sint_);
  node.Set("interrupts_lost", interrupts_lost_);
  node.Set("signals_delayed", signals_delayed_);
  channel_->Inspect(node.Child("channel"));
}

}  // namespace vmbuskit
