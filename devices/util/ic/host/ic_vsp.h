// The host side of every integration component: negotiates as soon as the guest opens the channel, then carries the
// service's requests and answers.
//
//   class HeartbeatVsp final : public ic::IcVsp {
//     void OnReady(const ic::Agreed&) override { SendBeat(); }
//     void OnReply(const ic::Message& message) override { ... }
//   };
//
// A guest that never answers the negotiation is legal and stays unready (protocol 30 section 2.3). An answer that
// breaks a rule ends the service until the channel is opened again (rule F8).
// Thread safety: the host executor.
#ifndef VMBUSKIT_DEVICES_UTIL_IC_HOST_IC_VSP_H_
#define VMBUSKIT_DEVICES_UTIL_IC_HOST_IC_VSP_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "devices/util/ic/message.h"
#include "devices/util/ic/negotiation.h"
#include "devices/util/ic/protocol.h"
#include "framework/base/saved_state.h"
#include "transports/embedded_host/vsp.h"

namespace vmbuskit::ic {

// The user-defined part of an integration component's offer: pipe mode "message".
std::array<std::byte, 120> OfferUserDefined();

class IcVsp : public Vsp {
 public:
  struct Service {
    MessageType type;
    VersionLists offered;  // ascending
    uint32_t message_bytes_max = kMessageBytesMax;
  };

  // `service` must outlive the VSP (it is a constant of the class).
  IcVsp(VspContext& context, const Service& service);

  absl::Status OnOpen(Channel& channel, const OpenData& data) override;
  void OnClose(Channel& channel) override;
  // After a restore the negotiation starts anew, unannounced (protocol 30, F5 and F6); figures, and an end for a broken
  // rule, are kept. A service with figures of its own calls these first from its own.
  absl::Status Save(StateWriter& state) override;
  absl::Status Restore(StateReader& state) override;
  absl::Status OnReopen(Channel& channel, const OpenData& data) override;
  void Inspect(InspectNode& node) const override;

  // Starts over, as a host does after save and restore; nothing on a closed channel.
  void Renegotiate();

 protected:
  // The guest agreed; requests may be sent. Also after a renegotiation.
  virtual void OnReady(const Agreed& agreed) = 0;
  // The guest answered a request of this service.
  virtual void OnReply(const Message& message) = 0;
  // The channel closed or the service ended; no OnReply comes until the next OnReady.
  virtual void OnUnavailable() {}

  // Sends one request with `body`. False when not ready or when the ring is full: nothing was sent.
  bool SendRequest(std::span<const std::byte> body);

  VspContext& context() { return context_; }
  bool ready() const { return state_ == State::kReady; }

 private:
  enum class State { kClosed, kNegotiating, kReady, kEnded };

  void OnPacket(Channel& channel, const Packet& packet) final;
  void OnWritable(Channel& channel) final;
  void SendNegotiation();
  void HandleAnswer(Message& message);
  template <typename Archive>
  void Exchange(Archive& archive);
  void End(const absl::Status& reason);

  VspContext& context_;
  const Service& service_;
  std::vector<std::byte> buffer_;  // allocated once; holds one message, in or out
  Channel* channel_ = nullptr;
  State state_ = State::kClosed;
  bool negotiation_unsent_ = false;
  uint32_t negotiations_unanswered_ = 0;
  std::optional<Agreed> agreed_;
  uint64_t requests_ = 0;
  uint64_t replies_ = 0;
  uint64_t stale_ = 0;
  absl::Status ended_because_;
};

}  // namespace vmbuskit::ic

#endif  // VMBUSKIT_DEVICES_UTIL_IC_HOST_IC_VSP_H_
