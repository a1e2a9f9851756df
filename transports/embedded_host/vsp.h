// What a host-side device (VSP) is to the embedded host: the mirror image of a guest's Device.
//
//   class EchoVsp : public Vsp {
//     absl::Status OnOpen(Channel& channel, OpenData) override { channel.Start(*this); return absl::OkStatus(); }
//     void OnPacket(Channel& channel, const Packet& packet) override { ... }
//   };
//
// The logic is sans-IO: channels, timers of the host executor and back ends are all it touches.
//
// Save and restore (protocol 02 section 11): the host carries channels, rings, GPADLs and the ids of requests under
// way; a VSP carries what else it knows. After EmbeddedHost::Restore a new VSP gets Restore, then OnReopen for every
// channel that was open. One without state of its own needs none of the three; one whose protocol starts anew after a
// restore (integration components) lets OnReopen do what OnOpen does.
//
//   absl::Status Save(StateWriter& state) override { state(sent_); state(channel_->RequestId(*this)); ... }
//   absl::Status Restore(StateReader& state) override { state(sent_); state(request_id_); return state.status(); }
//   absl::Status OnReopen(Channel& channel, const OpenData&) override {
//     channel.Start(*this);
//     if (request_id_ != 0) (void)channel.ResumeRequest(request_id_, *this);  // it ends once, as if nothing happened
//     return absl::OkStatus();
//   }
// A saved state is input: it may have sub-channels that were never asked for. A class of one channel refuses them in
// OnOpen and OnReopen.
// Thread safety: everything on the host executor of the device.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_VSP_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_VSP_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/base/guid.h"
#include "framework/base/saved_state.h"
#include "framework/channel/channel.h"
#include "framework/observe/inspect.h"
#include "platform/executor.h"
#include "platform/memory.h"

namespace vmbuskit {

// What the host gives a VSP. Lives as long as the VSP.
class VspContext {
 public:
  virtual ~VspContext() = default;

  virtual Executor& executor() = 0;
  // The guest's memory, for GPA-direct packets. Every access is bounds-checked.
  virtual GuestMemory& guest_memory() = 0;
  // The pages of a GPADL that the guest made on this device's channels, mapped in order. NotFound otherwise; the
  // mapping must be dropped in OnGpadlTornDown, after which the guest may reuse the pages.
  virtual absl::StatusOr<Mapping> MapGpadl(uint32_t handle) = 0;
  // Offers sub-channels 1 .. count (fewer when relids run out); how many exist now.
  virtual uint32_t OfferSubchannels(uint32_t count) = 0;
  // Hypervisor reference time, 100 ns ticks since the partition was made.
  virtual uint64_t ReferenceTime() = 0;
  // Vsp::HoldsMemory may say no now where it said yes. Not from inside of a call to the VSP.
  virtual void OnMemoryReleased() {}
};

class Vsp : public ChannelHandler {
 public:
  struct OpenData {
    uint16_t subchannel_index = 0;
    std::span<const std::byte, 120> user_data;
  };

  // The guest opened a channel; an error refuses it. `channel` lives until OnClose.
  virtual absl::Status OnOpen(Channel& channel, const OpenData& data) = 0;
  // The channel's rings go now: also on revocation and guest crash.
  virtual void OnClose(Channel& channel) = 0;
  // True while a back end may still touch the guest's memory for requests of a channel that is closed. The guest hears
  // that the channel is closed (its ring's GPADL goes, RESCIND comes) only when not; VspContext::OnMemoryReleased says
  // when to ask again.
  virtual bool HoldsMemory(uint16_t subchannel_index) const {
    (void)subchannel_index;
    return false;
  }
  // The guest wants GPADL `handle` back: unmap it before returning.
  virtual void OnGpadlTornDown(uint32_t handle) { (void)handle; }

  // Writes what Restore needs. Nothing of the device is under way: it is called between two turns.
  virtual absl::Status Save(StateWriter& state) {
    (void)state;
    return absl::OkStatus();
  }
  // Takes over what Save wrote, which is input like any other; DataLoss when it cannot be. Called on a new VSP, before
  // OnReopen; GPADLs can be mapped again. A VSP that the embedder made with a function of its own stays the same
  // object: it gets OnClose and OnGpadlTornDown first, and has to forget everything else here.
  virtual absl::Status Restore(StateReader& state) {
    (void)state;
    return absl::OkStatus();
  }
  // As OnOpen, for a channel that was open when the host was saved: its rings go on where they were, OnWritable
  // follows when somebody waits for space. A request under way that is not resumed here (Channel::ResumeRequest)
  // never ends; its late answer is ignored. `channel` may have ended before the save: it is closed() then.
  virtual absl::Status OnReopen(Channel& channel, const OpenData& data) {
    return OnOpen(channel, data);
  }

  virtual void Inspect(InspectNode& node) const { (void)node; }
};

// A host-side class is a value too. All members outlive every use.
struct VspClass {
  std::string_view name;
  Guid class_id;
  Guid default_instance_id;
  uint16_t offer_flags = 0;                   // protocol 02 section 4.1
  uint16_t mmio_megabytes = 0;                // wanted in the guest's MMIO space
  uint32_t max_packet_bytes = 64 * 1024;      // larger packets of the guest are a violation
  std::array<std::byte, 120> user_defined{};  // pipe mode and the like
  bool monitored = false;  // gets a monitor id: guest signals through the monitor page
  std::unique_ptr<Vsp> (*create)(VspContext& context) = nullptr;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_VSP_H_
