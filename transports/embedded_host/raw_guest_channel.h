// For tests: ring pairs in guest memory, written out by hand: the guest's end of a channel to the
// embedded host, and what is needed to play either end.
//
//   RawGuestChannel rings(partition, cpu0, {200, 201, 202, 203, 204, 205});    // pages, half for each direction
//   ... GPADL and OPEN by messages ...
//   Channel& channel = rings.Start(offer.connection_id);
//
// Thread safety: one thread, the test's. Lifetime: the memory outlives all of it.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_RAW_GUEST_CHANNEL_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_RAW_GUEST_CHANNEL_H_

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "framework/channel/channel.h"
#include "framework/channel/ring_mapping.h"
#include "platform/partition.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

// A ring pair in guest memory, and the guest's end of a channel over it.
class RawGuestChannel : public ChannelHandler {
 public:
  // `pages`: the guest-to-host ring, then the host-to-guest ring, half each.
  RawGuestChannel(Partition& partition, Executor& executor, std::vector<Pfn> pages)
      : partition_(partition), executor_(executor), pages_(std::move(pages)) {}
  ~RawGuestChannel() override {
    if (channel_ != nullptr) channel_->Close(absl::CancelledError("test ends"));
  }

  const std::vector<Pfn>& pages() const { return pages_; }
  uint32_t downstream_page() const { return static_cast<uint32_t>(pages_.size() / 2); }

  // Starts at the indices in memory.
  Channel& Start(uint32_t connection_id) {
    connection_id_ = connection_id;
    GuestMemory& memory = partition_.memory();
    const uint32_t half = downstream_page();
    up_ = *memory.Map(RingOrder(std::span(pages_).first(half)));
    down_ = *memory.Map(RingOrder(std::span(pages_).subspan(half)));
    channel_ = std::make_unique<Channel>(
        executor_,
        Channel::Options{.name = "raw guest",
                         .incoming = RingOf(memory, pages_[half], down_.bytes()),
                         .outgoing = RingOf(memory, pages_[0], up_.bytes()),
                         .signal_peer = Callback::To<&RawGuestChannel::SignalHost>(this)});
    channel_->Start(*this);
    return *channel_;
  }
  void Stop() {
    channel_->Close(absl::CancelledError("stopped"));
    channel_.reset();
  }

  void OnPacket(Channel&, const Packet& packet) override {
    received.emplace_back(reinterpret_cast<const char*>(packet.payload.data()),
                          packet.payload.size());
  }

  RingControl& control(uint32_t page) {
    return *reinterpret_cast<RingControl*>(
        partition_.memory().Translate(pages_[page] * kPageSize, kPageSize)->data());
  }
  Channel& channel() { return *channel_; }

  std::vector<std::string> received;
  bool signals_held = false;  // the guest keeps its signals to itself
  HypercallStatus last_signal = HypercallStatus::kSuccess;

 private:
  void SignalHost() {
    if (signals_held) return;
    last_signal = ResultStatus(partition_.Hypercall(0, kCallSignalEventFast, connection_id_, 0));
  }

  Partition& partition_;
  Executor& executor_;
  const std::vector<Pfn> pages_;
  uint32_t connection_id_ = 0;
  Mapping up_;
  Mapping down_;
  std::unique_ptr<Channel> channel_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_RAW_GUEST_CHANNEL_H_
