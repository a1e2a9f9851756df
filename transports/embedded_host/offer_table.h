// The channels that a host offers, and the numbers it lends a guest for them: relids and monitor ids.
//
//   OfferTable table;
//   ServerChannel& channel = table.Add(parameters);
//   table.AssignNumbers(channel, /*monitored=*/true);       // lowest free relid and monitor id
//   table.FindRelid(channel.relid) == &channel;
//
// Iteration is in the order of arrival. Thread safety: none; the server's. References stay valid until Remove.
// Source: protocol 02 sections 4.1 and 5.4.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_OFFER_TABLE_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_OFFER_TABLE_H_

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "framework/base/guid.h"
#include "transports/embedded_host/server_actions.h"
#include "transports/protocol/messages.h"
#include "transports/protocol/versions.h"

namespace vmbuskit {

class StateReader;

struct OfferParameters {
  Guid class_id = {};
  Guid instance_id = {};
  uint16_t flags = 0;
  uint16_t subchannel_index = 0;  // 0: primary
  uint16_t mmio_megabytes = 0;
  uint16_t mmio_megabytes_optional = 0;
  std::array<std::byte, 120> user_defined{};
  bool monitored = false;  // lend a monitor id, if the guest has monitor pages

  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(class_id);
    archive(instance_id);
    archive(flags);
    archive(subchannel_index);
    archive(mmio_megabytes);
    archive(mmio_megabytes_optional);
    archive(user_defined);
    archive(monitored);
  }
};

// Host side of one channel (protocol 02 section 5.4).
enum class ChannelState : uint8_t {
  kClientReleased,        // offered to nobody
  kClosed,                // offered, not open
  kOpening,               // the device decides
  kOpen,                  // the rings are in use
  kClosing,               // the device drains
  kClosingReopen,         // the same, and the next open waits for it
  kOpeningClientRelease,  // the guest is gone, the device does not know yet
  kClosingClientRelease,  // the same while it drains
  kRevoked,               // the device is gone, the guest still holds the relid
  kReoffered,             // the same, and the device is back and waits for the relid
};
std::string_view ChannelStateName(ChannelState state);

// What the guest asked for in OPEN_CHANNEL or OPEN_RESERVED_CHANNEL.
struct PendingOpen {
  uint32_t open_id = 0;
  uint32_t ring_gpadl = 0;
  uint32_t target_vp = kNoTargetVp;
  uint32_t downstream_page = 0;
  std::array<std::byte, 120> user_data{};
  uint32_t connection_id = 0;  // the offer's, or the guest's choice
  uint32_t event_flag = 0;
  bool redirect_interrupt = false;
  bool reserved = false;
  MessageTarget reserved_target = {};  // where a reserved open is answered

  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(open_id);
    archive(ring_gpadl);
    archive(target_vp);
    archive(downstream_page);
    archive(user_data);
    archive(connection_id);
    archive(event_flag);
    archive(redirect_interrupt);
    archive(reserved);
    archive(reserved_target);
  }
};

// The answer that CLOSE_RESERVED_CHANNEL waits for; it outlives the connection and the relid.
struct ReservedClose {
  MessageTarget target;
  uint32_t relid = 0;

  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(target);
    archive(relid);
  }
};

struct ServerChannel {
  ChannelId id{};
  OfferParameters offer;
  ChannelState state = ChannelState::kClientReleased;
  uint32_t relid = 0;  // 0: the guest does not know the channel
  uint8_t monitor_id = kNoMonitor;
  bool withheld = false;  // released alive: offered again on the next connection only

  PendingOpen open;                           // from Opening until the rings are let go
  std::optional<PendingOpen> reopen;          // ClosingReopen
  std::optional<ReservedClose> close_answer;  // of CLOSE_RESERVED_CHANNEL

  std::optional<uint32_t> retarget_vp;       // a retarget to it is with the device
  std::optional<uint32_t> next_retarget_vp;  // and this one waits for it (below 5.3)

  // Without its id and its names for others.
  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(offer);
    archive.AtMost("channel state", state, static_cast<uint64_t>(ChannelState::kReoffered));
    archive.AtMost("relid", relid, kRelidMax);
    archive(monitor_id);
    archive(withheld);
    archive(open);
    archive(reopen);
    archive(close_answer);
    archive(retarget_vp);
    archive(next_retarget_vp);
  }

  // A revoked channel whose device is back names it, and is named by it.
  ServerChannel* successor = nullptr;
  ServerChannel* predecessor = nullptr;

  bool HoldsRings() const {
    return state != ChannelState::kClientReleased && state != ChannelState::kClosed && !IsRevoked();
  }
  bool IsRevoked() const {
    return state == ChannelState::kRevoked || state == ChannelState::kReoffered;
  }
  bool IsClosing() const {
    return state == ChannelState::kClosing || state == ChannelState::kClosingReopen ||
           state == ChannelState::kClosingClientRelease;
  }
  bool IsReservedOpen() const { return state == ChannelState::kOpen && open.reserved; }
};

class OfferTable {
 public:
  using Map = std::map<ChannelId, ServerChannel>;

  ServerChannel& Add(const OfferParameters& offer);
  // Takes its numbers back, and its names out of successor and predecessor.
  void Remove(ServerChannel& channel);

  // Channels of devices that exist: not the revoked ones.
  ServerChannel* FindLive(ChannelId id);
  ServerChannel* FindLive(const Guid& class_id, const Guid& instance_id, uint16_t index);
  ServerChannel* FindRevoked(const Guid& class_id, const Guid& instance_id, uint16_t index);
  ServerChannel* FindRelid(uint32_t relid);
  // An open channel, not `except`, whose event port has that id.
  const ServerChannel* FindConnectionId(uint32_t connection_id, const ServerChannel* except) const;

  // The lowest relid that nobody holds, and a monitor id if wanted and left; the predecessor's numbers when the
  // channel has one. False when relids ran out.
  bool AssignNumbers(ServerChannel& channel, bool monitored);
  void FreeNumbers(ServerChannel& channel);

  // Whether one more channel can have a relid of its own.
  bool HasRoom() const { return channels_.size() - successors_ < kRelidMax; }
  void Link(ServerChannel& predecessor, ServerChannel& successor);
  void Unlink(ServerChannel& predecessor, ServerChannel& successor);

  // Saves, or takes over what was saved into an empty table; with StateWriter or StateReader.
  template <typename Archive>
  void Exchange(Archive& archive);
  void Clear();

  Map& all() { return channels_; }
  const Map& all() const { return channels_; }
  size_t size() const { return channels_.size(); }

 private:
  // Parts of Exchange.
  template <typename Archive>
  void ExchangeNumbers(Archive& archive, ServerChannel& channel);
  template <typename Archive>
  void ExchangeSuccessor(Archive& archive, ServerChannel& channel);
  void CheckRestored(StateReader& reader) const;

  Map channels_;
  uint32_t next_id_ = 1;
  size_t successors_ = 0;
  std::array<ServerChannel*, kRelidMax + 1> by_relid_{};
  std::bitset<kMonitorCount> monitors_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_OFFER_TABLE_H_
