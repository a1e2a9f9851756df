// A partition that a test looks through: it sees every control message that the guest posts, before the host does, and
// may let something happen first or keep it from the host.
//
//   watched.on_post = [&](MessageType type) { return type != MessageType::kUnload; };  // false: the host never sees it
//
// Thread safety: the simulation's thread.
#ifndef VMBUSKIT_TESTS_SYSTEM_WATCHED_PARTITION_H_
#define VMBUSKIT_TESTS_SYSTEM_WATCHED_PARTITION_H_

#include <cstring>
#include <functional>

#include "platform/forwarding_partition.h"
#include "transports/protocol/hypervisor.h"
#include "transports/protocol/messages.h"

namespace vmbuskit {

class WatchedPartition final : public ForwardingPartition {
 public:
  using ForwardingPartition::ForwardingPartition;

  uint64_t Hypercall(uint32_t vp, uint64_t control, uint64_t input, uint64_t output) override {
    if (control == SimpleCall(kCallPostMessage) && on_post) {
      const auto bytes = memory().Translate(input, sizeof(PostMessageInput));
      if (bytes.ok()) {
        MessageType type;
        std::memcpy(&type, bytes->data() + offsetof(PostMessageInput, payload), sizeof type);
        if (!on_post(type)) return 0;  // "queued"
      }
    }
    return ForwardingPartition::Hypercall(vp, control, input, output);
  }

  std::function<bool(MessageType)> on_post;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SYSTEM_WATCHED_PARTITION_H_
