// What the VMBus server asks of the embedded host around it, and the values that pass between the two.
//
//   class Glue : public ServerActions {
//     void OpenChannel(ChannelId id, const OpenRequest& request) override { ...; server.OnOpenCompleted(id, true); }
//     ...
//   };
//
// Every request but PostMessage and TearDownConnection is answered by one call of the server's matching On...
// function, at once (from inside the action) or at any later time. Actions run after the server's state is
// complete, one after the other in the order they arose; what an action calls back adds further actions, which run
// after it has returned. So no action ever sees a half-made change or runs inside another.
//
// Thread safety: everything on the host executor. Spans and references are valid during the call only.
// Source: protocol 02 sections 3 to 5.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_ACTIONS_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_ACTIONS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "framework/base/guid.h"
#include "platform/memory.h"
#include "transports/embedded_host/gpadl_assembly.h"
#include "transports/protocol/versions.h"

namespace vmbuskit {

// A channel as the host's devices know it: given by VmbusServer::Offer, never used twice. (The guest knows relids,
// which are used again and differ from connection to connection.)
enum class ChannelId : uint32_t {};

// The message slot that a control message goes to.
struct MessageTarget {
  uint32_t vp = 0;
  uint32_t sint = kVmbusSint;

  friend bool operator==(const MessageTarget&, const MessageTarget&) = default;
  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(vp);
    archive.AtMost("sint", sint, kSintCount - 1);
  }
};

// A connection to set up: its messages' slot and its monitor pages.
struct ConnectionSetup {
  uint32_t version = 0;
  uint32_t features = 0;  // to be granted
  MessageTarget target;
  Gpa parent_to_child = 0;  // both 0: no monitor pages
  Gpa child_to_parent = 0;
  bool server_pages =
      false;  // the pages are the server's (kFeatureServerMonitorPages), not the guest's
  Guid client_id = {};

  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(version);
    archive(features);
    archive(target);
    archive(parent_to_child);
    archive(child_to_parent);
    archive(server_pages);
    archive(client_id);
  }
};

// An open that passed every check.
struct OpenRequest {
  uint32_t relid = 0;
  uint16_t subchannel_index = 0;
  uint32_t ring_gpadl = 0;
  std::shared_ptr<const GpadlPages> ring;  // its pages: guest-to-host ring first
  uint32_t downstream_page = 0;  // where the host-to-guest ring begins; each has at least two pages
  uint32_t target_vp = kNoTargetVp;  // of host-to-guest interrupts
  uint16_t event_flag = 0;           // to set there: the relid, or the guest's choice
  uint32_t connection_id = 0;  // of the event port to create: the offer's, or the guest's choice
  uint8_t monitor_id = kNoMonitor;
  bool redirect_interrupt = false;
  bool reserved = false;  // opened by OPEN_RESERVED_CHANNEL: no interrupts, survives a disconnect
  std::array<std::byte, 120> user_data{};
};

struct GpadlInfo {
  uint32_t handle = 0;
  std::shared_ptr<const GpadlPages> pages;
};

class ServerActions {
 public:
  virtual ~ServerActions() = default;

  // Queue `message` (of exactly this size) for the slot. Delivery may take for ever.
  virtual void PostMessage(MessageTarget target, std::span<const std::byte> message) = 0;

  // Map the monitor pages, for a new connection or instead of those of the present one. Answer: OnConnectionSetUp;
  // after a failure everything is as it was before.
  virtual void SetUpConnection(const ConnectionSetup& setup) = 0;
  // The connection is over: unmap the monitor pages.
  virtual void TearDownConnection() = 0;

  // Create the event port, map the rings, tell the device. Answer: OnOpenCompleted.
  virtual void OpenChannel(ChannelId id, const OpenRequest& request) = 0;
  // Stop the device's use of the rings, unmap them, remove the event port. Answer: OnCloseCompleted.
  virtual void CloseChannel(ChannelId id) = 0;

  // The guest shares pages with the device. Answer: OnGpadlCreated.
  virtual void CreateGpadl(ChannelId id, const GpadlInfo& gpadl) = 0;
  // Unmap them and have the device forget them. Never asked for a ring in use: its close completes first.
  // Answer: OnGpadlReleased, after which the guest may use the pages for something else.
  virtual void TearDownGpadl(ChannelId id, uint32_t handle) = 0;

  // Send the channel's interrupts to `vp`. Answer: OnRetargeted, after which none comes on the old one.
  virtual void Retarget(ChannelId id, uint32_t vp) = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_ACTIONS_H_
