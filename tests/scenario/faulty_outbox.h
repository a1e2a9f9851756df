// The host's messages on their way to the guest's slots, as a fault plan says: late, out of order where the protocol
// allows it, or never sent. Messages about the same device keep their order (a sub-channel's offer overtakes nothing:
// section 4.2); those about the connection, and TORNDOWN, which does not name its channel, keep theirs to all others.
//
//   FaultyOutbox outbox(host_executor, faults);
//   EmbeddedHost host(memory, host_executor, vps, {.outbox = &outbox});
//   outbox.Connect(host);
//
// Checks what the host may say: that it let go of the guest, only when it did.
// Thread safety: the host executor. Source: protocol 02 sections 2 to 5.
#ifndef VMBUSKIT_TESTS_SCENARIO_FAULTY_OUTBOX_H_
#define VMBUSKIT_TESTS_SCENARIO_FAULTY_OUTBOX_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "platform/executor.h"
#include "tests/scenario/fault_source.h"
#include "transports/embedded_host/embedded_host.h"
#include "transports/protocol/message_table.h"

namespace vmbuskit {

class FaultyOutbox final : public HostOutbox {
 public:
  FaultyOutbox(Executor& executor, FaultSource& faults)
      : executor_(executor),
        faults_(faults),
        due_(executor, Callback::To<&FaultyOutbox::OnDue>(this)) {}

  void Connect(EmbeddedHost& host) { host_ = &host; }
  void Take(MessageTarget target, std::span<const std::byte> message) override;

  // What is under way never arrives: the guest is gone.
  void Forget();
  uint32_t held() const { return static_cast<uint32_t>(held_.size()); }
  // Called when a message is never sent, at that moment.
  void set_on_dropped(Callback on_dropped) { on_dropped_ = on_dropped; }

  // Waits until the host says `type` about a channel for the `count`th time from now on.
  void Watch(MessageType type, uint32_t count);
  // Of whose device: the first word of its instance GUID.
  std::optional<uint32_t> watched() const { return watched_; }

 private:
  // What a message keeps its order to: its device, by the first bytes of its instance GUID, or everything.
  using Lane = uint64_t;
  static constexpr Lane kEverything = ~Lane{0};

  struct Held {
    Lane lane = 0;
    Instant due{};
    MessageTarget target;
    std::vector<std::byte> message{};
  };

  Lane LaneOf(std::span<const std::byte> message);
  void NoteSent(const char* how, std::span<const std::byte> message);
  // Whether it is the answer to something about a channel that was taken back, and the plan's host gives none.
  bool IsLeftUnanswered(std::span<const std::byte> message);
  void Observe(Lane lane, std::span<const std::byte> message);
  void CheckNothingIsHeld(std::span<const std::byte> message);
  bool Drops(std::span<const std::byte> message);
  void OnDue();
  void ArmDue();

  Executor& executor_;
  FaultSource& faults_;
  EmbeddedHost* host_ = nullptr;
  std::deque<Held> held_;
  std::map<uint32_t, Lane> devices_;  // by relid, as last offered
  Timer due_;
  Callback on_dropped_;
  uint32_t dropped_ = 0;
  std::set<uint32_t> rescinded_;         // relids, until offered again
  std::map<uint32_t, uint32_t> gpadls_;  // relids, by handle
  MessageType watched_type_{};
  uint32_t watched_left_ = 0;
  std::optional<uint32_t> watched_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_FAULTY_OUTBOX_H_
