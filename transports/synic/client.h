// The guest's side of the VMBus control path, sans-IO: commands and messages in, actions out.
// Negotiates from the newest version to the oldest, keeps offers, channels and GPADLs, and believes
// the host nothing.
//
//   VmbusClient client({.features = kFeatureGuestSignalParameters});
//   VMBUSKIT_RETURN_IF_ERROR(client.Connect(1, {.parent_to_child = p2c, .child_to_parent = c2p}));
//   while (auto action = client.TakeAction()) Perform(*action);   // posts INITIATE_CONTACT
//   client.OnMessage(bytes);                               // a private copy of a message slot
//
// A command that returns Ok ends with exactly one FinishedAction of its operation id, unless GiveUp
// forgets it first; one that returns an error did nothing. Ids are the caller's, nonzero and not in
// use.
//
// Connection states: Disconnected -> Connecting -> Connected -> Unloading -> Disconnected. What a
// host gets wrong is ignored and counted (counters(), last_violation()); only a message that cannot
// be posted loses the connection.
//
// Thread safety: one executor, that of the bus. Bounded: 2047 channels, Options::gpadls_max GPADLs.
// Source: protocol 02 sections 1 to 5.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_H_

#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/base/guid.h"
#include "transports/protocol/contact.h"
#include "transports/synic/client_action.h"
#include "transports/synic/client_channels.h"
#include "transports/synic/client_gpadls.h"
#include "transports/synic/client_link.h"

namespace vmbuskit {

class VmbusClient {
 public:
  struct Options {
    uint32_t version_max = kVersion6_0;
    uint32_t version_min = kVersion2_4;
    uint32_t features = 0;  // asked for from 6.0 on
    Guid client_id = {};    // with kFeatureClientId
    uint8_t sint = kVmbusSint;
    bool isolated = false;  // stops below 5.2 and takes only hardened classes
    uint32_t gpadls_max = 16 * 1024;
    uint32_t first_gpadl = ClientGpadls::kFirstHandle;
  };

  // Guest physical addresses; the monitor pages both or neither.
  struct Pages {
    Gpa parent_to_child = 0;
    Gpa child_to_parent = 0;
    Gpa interrupt_page = 0;  // told below 5.0
  };

  enum class State { kDisconnected, kConnecting, kConnected, kUnloading };

  explicit VmbusClient(const Options& options);

  // ---- Commands ----
  // Ends when a version was accepted; REQUEST_OFFERS is posted by then.
  absl::Status Connect(OperationId operation, const Pages& pages, uint32_t target_vp = 0);
  absl::StatusOr<uint32_t> CreateGpadl(OperationId operation, uint32_t relid,
                                       std::span<const GpadlRange> ranges);
  absl::Status TearDownGpadl(OperationId operation, uint32_t handle);
  absl::Status Open(OperationId operation, const ClientOpen& request);
  absl::Status Close(uint32_t relid);
  absl::Status Modify(OperationId operation, uint32_t relid, uint32_t target_vp);
  absl::Status Release(uint32_t relid);
  absl::Status Unload(OperationId operation);
  // The operation's deadline passed. Nothing is finished any more; what the host may still do about
  // it is undone when its late answer comes.
  void GiveUp(OperationId operation);

  // ---- What happens ----
  void OnMessage(std::span<const std::byte> bytes);
  // The contact's connection id does not exist: an older host.
  void OnContactRefused();
  // A message could not be posted at all: the control path is dead.
  void OnPostFailed(const absl::Status& reason);

  std::optional<ClientAction> TakeAction() { return link_.actions.Take(); }

  State state() const { return state_; }
  uint32_t version() const { return link_.negotiated.version; }
  uint32_t features() const { return link_.negotiated.features; }
  // The pages that monitor bits are exchanged over; both 0 when there are none.
  const Pages& pages() const { return pages_; }
  // The host was told of pages and did not say that it let go of them.
  bool host_holds_pages() const { return host_holds_pages_; }
  // Their owner gave them up; those of the next contact are others.
  void ForgetPages() { host_holds_pages_ = false; }
  const ClientCounters& counters() const { return link_.counters; }
  const absl::Status& last_violation() const { return link_.last_violation; }
  uint32_t channel_count() const { return channels_.count(); }
  size_t gpadl_count() const { return gpadls_.size(); }
  bool IsRescinded(uint32_t relid) const { return channels_.IsRescinded(relid); }

 private:
  void ProposeNext();
  void OnVersionResponse(const CheckedMessage& message);
  absl::Status TakeMonitorPages(const VersionReply& reply);
  void OnConnected(const VersionReply& reply);
  void OnConnectedMessage(std::span<const std::byte> bytes);
  void OnUnloadResponse();
  void FailConnect(absl::Status reason);
  void EndConnection(const absl::Status& reason, bool pages_returned);
  absl::Status CheckConnected(const char* command) const;

  const Options options_;
  ClientLink link_;
  ClientGpadls gpadls_;
  ClientChannels channels_;
  State state_ = State::kDisconnected;
  Pages pages_;
  uint32_t target_vp_ = 0;  // where messages are to come
  bool host_holds_pages_ = false;
  bool all_offers_told_ = false;
  size_t next_version_ = 0;  // into kVersionsNewestFirst
  uint32_t proposed_ = 0;    // 0: no contact is out
  OperationId connect_ = kNoOperation;
  OperationId unload_ = kNoOperation;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_H_
