// Actions in the order they arose, run when the server's state is complete (server_actions.h says why).
//
//   queue.Add(queue::CloseChannel{id});
//   queue.Run(actions);                 // not inside another Run: that one goes on with what was added
//
// Thread safety: none; the server's.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_ACTION_QUEUE_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_ACTION_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <variant>

#include "transports/embedded_host/server_actions.h"
#include "transports/protocol/message_buffer.h"

namespace vmbuskit {

namespace server_action {
struct PostMessage {
  MessageTarget target;
  MessageBuffer message;
};
struct SetUpConnection {
  ConnectionSetup setup;
};
struct TearDownConnection {};
struct OpenChannel {
  ChannelId id;
  OpenRequest request;
};
struct CloseChannel {
  ChannelId id;
};
struct CreateGpadl {
  ChannelId id;
  GpadlInfo gpadl;
};
struct TearDownGpadl {
  ChannelId id;
  uint32_t handle;
};
struct Retarget {
  ChannelId id;
  uint32_t vp;
};
}  // namespace server_action

class ServerActionQueue {
 public:
  template <typename T>
  void Add(T action) {
    queue_.emplace_back(std::move(action));
  }
  // Runs everything, also what is added meanwhile. Does nothing inside another Run.
  void Run(ServerActions& actions);
  // Forgets what is still to be asked of a channel whose device is gone.
  void Drop(ChannelId id);

  size_t size() const { return queue_.size(); }
  // Nothing waits and nothing runs.
  bool idle() const { return queue_.empty() && !running_; }
  void Clear() { queue_.clear(); }

 private:
  using Action = std::variant<server_action::PostMessage, server_action::SetUpConnection,
                              server_action::TearDownConnection, server_action::OpenChannel,
                              server_action::CloseChannel, server_action::CreateGpadl,
                              server_action::TearDownGpadl, server_action::Retarget>;

  bool running_ = false;
  std::deque<Action> queue_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_ACTION_QUEUE_H_
