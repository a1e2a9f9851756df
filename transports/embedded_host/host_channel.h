// The host's end of one open channel: its two rings mapped out of the guest's GPADL, its event port, its monitor
// bit, and the Channel over them. Source: protocol 02 sections 5.2, 7.1 and 9.1.
//
//   absl::StatusOr<std::unique_ptr<HostChannel>> channel = HostChannel::Create(partition, mapped, request, options);
//   VMBUSKIT_RETURN_IF_ERROR((*channel)->Connect());      // the guest's signals arrive from now on
//   vsp.OnOpen((*channel)->channel(), data);
//   (*channel)->Disconnect();                             // before the channel closes
//
// The guest's signals come over an Event of this object, which looks whether they were needed (the throttle of
// protocol 01 section 7.4) before it lets the channel drain.
// Thread safety: the host executor. Lifetime: destroyed after the Channel was closed.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_HOST_CHANNEL_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_HOST_CHANNEL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/channel/channel.h"
#include "framework/observe/inspect.h"
#include "platform/executor.h"
#include "platform/memory.h"
#include "transports/embedded_host/embedded_partition.h"
#include "transports/embedded_host/mapped_pages.h"
#include "transports/embedded_host/server_actions.h"

namespace vmbuskit {

class HostChannel {
 public:
  struct Options {
    std::string name;
    uint32_t sint = kVmbusSint;  // of the interrupts to the guest
    uint32_t max_packet_bytes = 64 * 1024;
  };

  // Maps the rings and takes over the indices found in them.
  static absl::StatusOr<std::unique_ptr<HostChannel>> Create(EmbeddedPartition& partition,
                                                             MappedPages& mapped,
                                                             const OpenRequest& request,
                                                             const Options& options);
  ~HostChannel();
  HostChannel(const HostChannel&) = delete;
  HostChannel& operator=(const HostChannel&) = delete;

  Channel& channel() { return *channel_; }

  // Makes the event port; AlreadyExists when another channel has that connection id.
  absl::Status Connect();
  // From here on a signal of the guest is INVALID_CONNECTION_ID.
  void Disconnect();
  // The interrupts go to `vp` from now on.
  void Retarget(uint32_t vp) { target_vp_ = vp; }

  // Saves, or takes over what was saved into a new one over the same rings, before its channel starts; with
  // StateWriter or StateReader.
  template <typename Archive>
  void Exchange(Archive& archive);

  void Inspect(InspectNode& node) const;

 private:
  struct Rings {
    Mapping incoming;
    Mapping outgoing;
  };

  HostChannel(EmbeddedPartition& partition, const OpenRequest& request, const Options& options,
              Rings rings);

  void OnGuestSignal();
  void SignalGuest();

  EmbeddedPartition& partition_;
  const uint32_t connection_id_;
  const uint8_t monitor_id_;
  const uint32_t sint_;
  const uint32_t event_flag_;
  uint32_t target_vp_;  // kNoTargetVp: the guest polls
  const Rings rings_;
  bool connected_ = false;
  uint64_t interrupts_lost_ = 0;
  uint64_t signals_delayed_ = 0;
  Event guest_signal_;
  Timer resume_;  // while the guest is suspended for needless signals
  std::unique_ptr<Channel> channel_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_HOST_CHANNEL_H_
