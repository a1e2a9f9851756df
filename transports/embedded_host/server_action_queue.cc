#include "transports/embedded_host/server_action_queue.h"

#include <type_traits>

namespace vmbuskit {
namespace {

struct Runner {
  ServerActions& to;

  void operator()(const server_action::PostMessage& action) {
    to.PostMessage(action.target, action.message.bytes());
  }
  void operator()(const server_action::SetUpConnection& action) {
    to.SetUpConnection(action.setup);
  }
  void operator()(const server_action::TearDownConnection&) { to.TearDownConnection(); }
  void operator()(const server_action::OpenChannel& action) {
    to.OpenChannel(action.id, action.request);
  }
  void operator()(const server_action::CloseChannel& action) { to.CloseChannel(action.id); }
  void operator()(const server_action::CreateGpadl& action) {
    to.CreateGpadl(action.id, action.gpadl);
  }
  void operator()(const server_action::TearDownGpadl& action) {
    to.TearDownGpadl(action.id, action.handle);
  }
  void operator()(const server_action::Retarget& action) { to.Retarget(action.id, action.vp); }
};

}  // namespace

void ServerActionQueue::Run(ServerActions& actions) {
  if (running_) return;
  running_ = true;
  while (!queue_.empty()) {
    const Action action = std::move(queue_.front());
    queue_.pop_front();
    std::visit(Runner{actions}, action);
  }
  running_ = false;
}

void ServerActionQueue::Drop(ChannelId id) {
  std::erase_if(queue_, [id](const Action& action) {
    return std::visit(
        [id](const auto& one) {
          if constexpr (requires { one.id; }) {
            return one.id == id;
          } else {
            return false;
          }
        },
        action);
  });
}

}  // namespace vmbuskit
