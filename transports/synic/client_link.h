// What the parts of the sans-IO client share: what was negotiated, where messages go, what the host
// got wrong.
//
//   link.Post(CloseChannelMessage{.relid = 5});
//   link.Violated(Violation("GPADL_CREATED", "relid", 7, "asked for 5"));
//
// Thread safety: one executor, that of the client. Ownership: a member of the client.
// Source: protocol 02 sections 2 and 3.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_LINK_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_LINK_H_

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "transports/protocol/message_buffer.h"
#include "transports/protocol/message_table.h"
#include "transports/synic/client_action.h"

namespace vmbuskit {

// What the host did that changed nothing. Plain integers.
struct ClientCounters {
  uint64_t messages = 0;            // all that came in
  uint64_t discarded = 0;           // before VERSION_RESPONSE, while unloading, while not connected
  uint64_t malformed = 0;           // against the message table: size, type, direction, version
  uint64_t unhandled = 0;           // valid, but of no use to this guest
  uint64_t unexpected_answers = 0;  // late, duplicate or unsolicited
  uint64_t unknown_relids = 0;      // rescinds of a relid that is not held: a race, not an error
  uint64_t rejected_offers = 0;
  uint64_t violations = 0;  // malformed, rejected, or a field that contradicts the question
};

struct ClientLink {
  ClientActions actions;
  ClientCounters counters;
  absl::Status last_violation;  // names message, field and value
  Negotiated negotiated;        // version 0: not connected
  uint32_t message_connection_id = 0;
  bool muted = false;  // UNLOAD was the last word

  void Violated(absl::Status violation) {
    ++counters.violations;
    last_violation = std::move(violation);
  }
  void Post(const MessageBuffer& message) {
    if (muted) return;
    actions.Add(PostAction{.connection_id = message_connection_id, .message = message});
  }
  template <typename Message>
  void Post(const Message& message) {
    Post(Emit(message, negotiated));
  }
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_LINK_H_
