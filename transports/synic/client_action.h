// What the sans-IO client wants done: messages to post, offers to tell, operations that ended.
// Commands and incoming messages add actions in order; the transport takes them out and carries
// them out.
//
//   client.OnMessage(bytes);
//   while (std::optional<ClientAction> action = client.TakeAction()) {
//     if (auto* post = std::get_if<PostAction>(&*action)) poster.Post(post->message);
//   }
//
// Thread safety: plain values. Errors: none; every action is valid by construction.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_ACTION_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_ACTION_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "framework/bus/offer.h"
#include "transports/protocol/message_buffer.h"
#include "transports/protocol/message_table.h"

namespace vmbuskit {

// Names one command until it ended; chosen by whoever gives it, never 0.
using OperationId = uint64_t;
inline constexpr OperationId kNoOperation = 0;

// Post `message` on connection `connection_id`. One whose `contact` is set stops at
// INVALID_CONNECTION_ID, which comes back as VmbusClient::OnContactRefused (protocol 01 section
// 3.6); every other failure as OnPostFailed.
struct PostAction {
  uint32_t connection_id = 0;
  bool contact = false;
  MessageBuffer message = {};
};

struct OfferAction {
  Offer offer = {};
};
struct AllOffersAction {};
struct RescindAction {
  uint32_t relid = 0;
};

// A command ended, exactly once.
struct FinishedAction {
  OperationId operation = kNoOperation;
  absl::Status status = {};
};

struct ConnectionLostAction {
  absl::Status reason = {};
};

using ClientAction = std::variant<PostAction, OfferAction, AllOffersAction, RescindAction,
                                  FinishedAction, ConnectionLostAction>;

// The queue that the parts of the client share. One input adds a bounded number: at most what is
// outstanding, and posts of one GPADL.
class ClientActions {
 public:
  // Ends `operation` and forgets it; nothing when there is none.
  void Finish(OperationId& operation, absl::Status status) {
    if (operation == kNoOperation) return;
    queue_.push_back(FinishedAction{operation, std::move(status)});
    operation = kNoOperation;
  }
  template <typename Action>
  void Add(Action action) {
    queue_.push_back(std::move(action));
  }
  std::optional<ClientAction> Take() {
    if (queue_.empty()) return std::nullopt;
    ClientAction action = std::move(queue_.front());
    queue_.pop_front();
    return action;
  }

 private:
  std::deque<ClientAction> queue_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_ACTION_H_
