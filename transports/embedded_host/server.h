// The host end of VMBus: connection, offers, channels and GPADLs of one guest, as a state machine without I/O.
// Messages and device events go in, actions come out.
//
//   VmbusServer server(ServerOptions{.vp_count = 4}, actions);
//   ChannelId id = *server.Offer({.class_id = kEcho, .instance_id = kInstance});
//   server.HandleMessage(message_bytes, connection_id);     // what the guest posted
//   server.OnOpenCompleted(id, true);                       // what a device answered
//
// A guest can do nothing wrong enough to end the server: a message that breaks a rule is counted, kept with its
// names and values among the last errors, and answered only where the reference says so. What a guest can make the
// server hold is bounded by ServerOptions.
//
// Thread safety: everything on the host executor. Re-entry from actions: see server_actions.h.
// Lifetime: `actions` outlives the server. Offered devices need not be revoked before it goes.
// Units: bytes; pages of 4 KiB. Source: protocol 02 sections 1 to 6 and 15.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/base/guid.h"
#include "framework/observe/inspect.h"
#include "transports/embedded_host/gpadl_table.h"
#include "transports/embedded_host/offer_table.h"
#include "transports/embedded_host/server_action_queue.h"
#include "transports/embedded_host/server_actions.h"
#include "transports/embedded_host/server_errors.h"
#include "transports/protocol/contact.h"
#include "transports/protocol/message_table.h"

namespace vmbuskit {

class StateReader;

// What the server can grant of version 6.0's features. Confidential channels and GPA pinning need a paravisor.
inline constexpr uint32_t kServerFeatures =
    kFeatureGuestSignalParameters | kFeatureInterruptRedirection | kFeatureModifyConnection |
    kFeatureClientId | kFeaturePauseResume | kFeatureServerMonitorPages;

struct ServerOptions {
  uint32_t max_version = kVersion6_0;  // newer contacts are refused
  uint32_t min_version = kVersion2_4;
  uint32_t features = kServerFeatures;
  uint32_t vp_count = 1;
  uint64_t guest_page_count = ~uint64_t{0};  // page numbers in GPADLs are below

  // Pages that the server supplies when the guest asks for kFeatureServerMonitorPages; without the second the
  // feature is not granted.
  Gpa server_parent_to_child = 0;
  Gpa server_child_to_parent = 0;

  // The host's own limit on shared memory: about 1280 MiB on WS2019 and later, 384 MiB before.
  uint64_t gpadl_limit_bytes = uint64_t{1280} << 20;
  // How many GPADLs a guest may have, and how many pages it may have announced and not yet listed.
  uint32_t gpadl_count_max = 16 * 1024;
  uint32_t gpadl_in_progress_pages_max = 512 * 1024;

  uint32_t error_count_max = 64;    // last errors kept
  uint64_t offer_shuffle_seed = 0;  // not 0: REQUEST_OFFERS answers in an order drawn from it
};

class VmbusServer {
 public:
  VmbusServer(ServerOptions options, ServerActions& actions);
  VmbusServer(const VmbusServer&) = delete;
  VmbusServer& operator=(const VmbusServer&) = delete;

  // ---- From the guest: one control message, posted to `connection_id` (1 or 4), in private memory.
  void HandleMessage(std::span<const std::byte> bytes, uint32_t connection_id);
  // The guest was reset: as UNLOAD, but without an answer, and reserved channels go as well.
  void Reset();

  // ---- From devices.
  // Offers a channel, now or as soon as the guest asks for offers. AlreadyExists: same class, instance and
  // index. NotFound: a sub-channel without a live primary. ResourceExhausted: 2047 channels.
  // A device that was revoked and comes back while the guest still holds its relid waits for the release.
  absl::StatusOr<ChannelId> Offer(const OfferParameters& parameters);
  // Takes a channel back, sub-channels before their primary. The device must have stopped using rings and GPADLs
  // (and unmapped them): no action and no answer follows for this id. NotFound: unknown or revoked already.
  absl::Status Revoke(ChannelId id);
  // Sub-channels of a primary, by index. Closing a primary should be followed by revoking them: a re-opened one
  // gets new ones only after asking again (protocol 02 section 4.2).
  std::vector<ChannelId> Subchannels(ChannelId primary) const;

  // Answers to actions. One that nobody waits for (its channel was revoked meanwhile) is counted and ignored.
  void OnConnectionSetUp(bool ok);
  void OnOpenCompleted(ChannelId id, bool ok);
  void OnCloseCompleted(ChannelId id);
  void OnGpadlCreated(ChannelId id, uint32_t handle, bool ok);
  void OnGpadlReleased(ChannelId id, uint32_t handle);
  void OnRetargeted(ChannelId id, bool ok);

  // ---- Save and restore (protocol 02 section 11: the guest notices nothing).
  // Whether nothing runs, as between two turns: the only time to save or restore.
  bool at_rest() const { return queue_.idle(); }
  // Saves everything, or drops everything and takes over what was saved; with StateWriter or StateReader. Devices are
  // known by their ChannelIds as before. After a failure: Clear.
  template <typename Archive>
  void Exchange(Archive& archive);
  // Asks again for every action that was not answered when the state was saved. After Exchange, when the answers can
  // be given.
  void Resume();
  // As newly made: without channels, guest, figures. No action is asked for.
  void Clear();
  // What an open channel was opened with, for the device that has to open it again; an error when it is not open, or
  // no guest could have opened it like this.
  absl::StatusOr<OpenRequest> DescribeOpen(ChannelId id) const;

  // ---- State.
  enum class State { kDisconnected, kConnecting, kConnected, kDisconnecting };
  State state() const { return state_; }
  // Version 0 while not connected.
  Negotiated negotiated() const { return negotiated_; }
  MessageTarget target() const { return connection_.target; }
  const Guid& client_id() const { return connection_.client_id; }
  bool paused() const { return paused_; }

  const OfferTable& channels() const { return channels_; }
  const GpadlTable& gpadls() const { return gpadls_; }
  // Pages of a GPADL that the guest made on this channel and the device accepted; null otherwise.
  std::shared_ptr<const GpadlPages> FindGpadl(ChannelId id, uint32_t handle) const;
  const ServerErrors& errors() const { return errors_; }

  struct Counters {
    uint64_t messages_in = 0;
    uint64_t messages_out = 0;
    uint64_t offers = 0;
    uint64_t rescinds = 0;
    uint64_t contacts = 0;
    uint64_t stale_events = 0;                               // answers that nobody waited for
    uint64_t gpadls_over_limit = 0;                          // refused for one of the limits
    std::array<uint64_t, kMessageTypeCount + 1> received{};  // by type
    std::array<uint64_t, kMessageTypeCount + 1> sent{};
  };
  const Counters& counters() const { return counters_; }

  void Inspect(InspectNode& node) const;

 private:
  // A contact as it is to be served: SINT, VP and features worked out.
  struct ContactRequest {
    Contact contact;
    MessageTarget target;

    template <typename Archive>
    void Exchange(Archive& archive);
  };
  // Runs what was queued when the outermost call returns.
  class Scope {
   public:
    explicit Scope(VmbusServer& server) : server_(server) {}
    ~Scope() { server_.queue_.Run(server_.actions_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    VmbusServer& server_;
  };

  // server.cc: dispatch and sending
  absl::Status Dispatch(const CheckedMessage& message, uint32_t connection_id);
  absl::Status DispatchChannel(const CheckedMessage& message);
  template <typename T>
  void Send(const T& message) {
    SendTo(connection_.target, message);
  }
  template <typename T>
  void SendTo(MessageTarget target, const T& message) {
    Enqueue(target, T::kType, Emit(message, negotiated_));
  }
  void Enqueue(MessageTarget target, MessageType type, MessageBuffer message);
  // A channel that the guest holds; an error when it does not.
  absl::StatusOr<ServerChannel*> FindRelid(const CheckedMessage& message, uint32_t relid);
  absl::Status StateError(const CheckedMessage& message, const ServerChannel& channel) const;
  // A live channel of a device; null, and counted, when there is none.
  ServerChannel* FindForEvent(ChannelId id);

  // server_state.cc
  template <typename Archive>
  void ExchangeConnection(Archive& archive);
  template <typename Archive>
  void ExchangeHeld(Archive& archive);
  template <typename Archive>
  void ExchangeCounters(Archive& archive);
  void CheckRestored(StateReader& reader) const;
  void CheckRestored(StateReader& reader, const ConnectionSetup& setup) const;
  void CheckRestored(StateReader& reader, const ServerChannel& channel) const;
  bool IsConnectionTarget(MessageTarget target) const;
  // False: an open that cannot be asked for again.
  bool ResumeChannel(ServerChannel& channel);

  // server_connection.cc
  absl::Status HandleContact(const CheckedMessage& message, uint32_t connection_id);
  void Connect(const ContactRequest& request);
  void AnswerContact(const ContactRequest& request, const VersionReply& reply);
  // Both or neither, page-aligned and inside memory.
  bool AreMonitorPages(Gpa parent_to_child, Gpa child_to_parent) const;
  absl::Status HandleUnload(const CheckedMessage& message);
  absl::Status HandleModifyConnection(const CheckedMessage& message);
  absl::Status HandlePause(const CheckedMessage& message);
  absl::Status HandleResume(const CheckedMessage& message);
  void LiftPause();
  void StartDisconnect(bool keep_reserved);
  void DropChannel(ServerChannel& channel, bool keep_reserved);
  bool IsDrained() const;
  void MaybeFinishDisconnect();

  // server_offers.cc
  absl::Status HandleRequestOffers(const CheckedMessage& message);
  absl::Status HandleRelidReleased(const CheckedMessage& message);
  std::vector<ServerChannel*> OfferOrder();
  bool MayOffer(const ServerChannel& channel) const;
  void SendOffer(ServerChannel& channel);
  void OfferWaitingSubchannels(const ServerChannel& primary);
  bool IsPrimaryOffered(const ServerChannel& channel) const;
  void RevokeOne(ServerChannel& channel);
  void RevokeGpadls(ServerChannel& channel);
  // The guest lets go of a live channel: relid back, GPADLs torn down without a word.
  void ReleaseLive(ServerChannel& channel);

  // server_channels.cc
  absl::Status HandleOpen(const CheckedMessage& message);
  absl::Status HandleOpenReserved(const CheckedMessage& message);
  absl::Status HandleClose(const CheckedMessage& message);
  absl::Status HandleCloseReserved(const CheckedMessage& message);
  absl::Status HandleModifyChannel(const CheckedMessage& message);
  absl::Status HandleTlConnect(const CheckedMessage& message);
  // Checks `wanted` against the GPADLs and other channels, then asks the device; or answers with a failure.
  void TryOpen(ServerChannel& channel, const PendingOpen& wanted);
  absl::StatusOr<OpenRequest> BuildOpenRequest(const ServerChannel& channel,
                                               const PendingOpen& wanted) const;
  void AnswerOpen(const ServerChannel& channel, const PendingOpen& wanted, uint32_t status);
  // The device let go of a channel that the guest had given up before.
  void FinishRelease(ServerChannel& channel);
  absl::Status StartModify(const CheckedMessage& message, const ModifyChannelMessage& modify);
  void AnswerModify(const ServerChannel& channel, uint32_t status);

  // server_gpadls.cc
  absl::Status HandleGpadlHeader(const CheckedMessage& message);
  absl::Status BeginGpadl(const CheckedMessage& message, const GpadlHeaderMessage& header);
  absl::Status HandleGpadlBody(const CheckedMessage& message);
  absl::Status CompleteGpadl(ServerChannel& channel, uint32_t handle);
  absl::Status HandleGpadlTeardown(const CheckedMessage& message);
  void AnswerGpadl(uint32_t relid, uint32_t handle, uint32_t status);
  // Starts the device's part of a tear-down, at once or when the ring's close completes.
  void TearDown(ServerChannel& channel, uint32_t handle, GpadlEntry& entry, bool silent);
  // Every GPADL of the channel goes, without a word to the guest.
  void DropGpadls(ServerChannel& channel);
  void StartDeferredTearDowns(ServerChannel& channel);

  const ServerOptions options_;
  ServerActions& actions_;
  ServerActionQueue queue_;
  ServerErrors errors_;
  Counters counters_;

  State state_ = State::kDisconnected;
  Negotiated negotiated_;
  ConnectionSetup connection_;
  ConnectionSetup modified_;  // what MODIFY_CONNECTION asks for
  bool setup_outstanding_ = false;
  bool set_up_ = false;  // TearDownConnection is due at the end
  bool offers_requested_ = false;
  bool paused_ = false;
  // What follows when Connecting or Disconnecting ends; a contact beats the others.
  std::optional<ContactRequest> next_contact_;
  bool answer_unload_ = false;
  bool reset_pending_ = false;
  std::deque<std::pair<MessageTarget, MessageBuffer>> held_messages_;  // while paused

  OfferTable channels_;
  GpadlTable gpadls_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_H_
