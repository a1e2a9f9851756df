// The host's end of one honest echo device, beside whatever a hostile host does on the other
// channels of a guest over a FakePartition: the guest must go on serving it.
//
//   HonestEcho echo(partition, host_cpu);
//   echo.Open(ring_pages, downstream_page, vp);        // when the guest asks to
//   partition.on_signal = [&](uint32_t connection) { echo.OnGuestSignal(connection); };
//   ...
//   Require(echo.answered() > before && echo.wrong() == 0);
//
// Thread safety: the simulation's thread. Lifetime: closed before its guest takes its pages for
// good.
#ifndef VMBUSKIT_TESTS_FUZZ_HONEST_ECHO_H_
#define VMBUSKIT_TESTS_FUZZ_HONEST_ECHO_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "devices/echo/host/echo_host.h"
#include "framework/channel/channel.h"
#include "platform/sim/executor.h"
#include "transports/embedded_host/raw_guest_channel.h"
#include "transports/embedded_host/testing/fake_vsp_context.h"
#include "transports/synic/fake_partition.h"

namespace vmbuskit {

class HonestEcho {
 public:
  static constexpr uint32_t kRelid = 1;
  static constexpr uint32_t kConnection = 0x2000 + kRelid;

  HonestEcho(FakePartition& partition, SimExecutor& host_cpu)
      : partition_(partition),
        host_cpu_(host_cpu),
        context_(host_cpu, &partition.memory()),
        vsp_(EchoVspClass().create(context_)) {}
  ~HonestEcho() { Close(); }

  void Open(std::span<const Pfn> pages, uint32_t downstream_page, uint32_t vp) {
    Close();
    vp_ = vp;
    GuestMemory& memory = partition_.memory();
    up_ = *memory.Map(RingOrder(pages.first(downstream_page)));
    down_ = *memory.Map(RingOrder(pages.subspan(downstream_page)));
    channel_ = std::make_unique<Channel>(
        host_cpu_,
        Channel::Options{.name = "honest echo",
                         .incoming = RingOf(memory, pages[0], up_.bytes()),
                         .outgoing = RingOf(memory, pages[downstream_page], down_.bytes()),
                         .signal_peer = Callback::To<&HonestEcho::SignalGuest>(this),
                         .guest_end = false});
    (void)vsp_->OnOpen(*channel_, context_.open_data());
  }
  void Close() {
    if (channel_ == nullptr) return;
    channel_->Close(absl::CancelledError("closed"));
    vsp_->OnClose(*channel_);
    channel_.reset();
    up_.Reset();
    down_.Reset();
  }
  void Retarget(uint32_t vp) { vp_ = vp; }
  void OnGuestSignal(uint32_t connection) {
    if (connection == kConnection && channel_ != nullptr) channel_->wake().Signal();
  }

  bool open() const { return channel_ != nullptr; }
  bool failed() const { return channel_ != nullptr && channel_->closed(); }
  uint64_t answered() const { return Number("answered"); }
  uint64_t wrong() const { return Number("wrong") + Number("late"); }

 private:
  void SignalGuest() { partition_.SetFlag(vp_, kRelid); }
  uint64_t Number(std::string_view name) const {
    InspectNode node;
    vsp_->Inspect(node);
    for (const auto& [key, value] : node.values()) {
      if (key == name) return std::get<uint64_t>(value);
    }
    return ~uint64_t{0};
  }

  FakePartition& partition_;
  SimExecutor& host_cpu_;
  FakeVspContext context_;
  const std::unique_ptr<Vsp> vsp_;
  uint32_t vp_ = 0;
  Mapping up_;
  Mapping down_;
  std::unique_ptr<Channel> channel_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_FUZZ_HONEST_ECHO_H_
