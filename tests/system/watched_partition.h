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

#include "platform/partition.h"
#include "transports/protocol/hypervisor.h"
#include "transports/protocol/messages.h"

namespace vmbuskit {

class WatchedPartition final : public Partition {
 public:
  explicit WatchedPartition(Partition& real) : real_(real) {}

  uint32_t vp_count() const override { return real_.vp_count(); }
  GuestMemory& memory() override { return real_.memory(); }
  CpuidResult Cpuid(uint32_t vp, uint32_t leaf) override { return real_.Cpuid(vp, leaf); }
  absl::StatusOr<uint64_t> ReadRegister(uint32_t vp, uint32_t reg) override {
    return real_.ReadRegister(vp, reg);
  }
  absl::Status WriteRegister(uint32_t vp, uint32_t reg, uint64_t value) override {
    return real_.WriteRegister(vp, reg, value);
  }
  uint64_t Hypercall(uint32_t vp, uint64_t control, uint64_t input, uint64_t output) override {
    if (control == SimpleCall(kCallPostMessage) && on_post) {
      const auto bytes = real_.memory().Translate(input, sizeof(PostMessageInput));
      if (bytes.ok()) {
        MessageType type;
        std::memcpy(&type, bytes->data() + offsetof(PostMessageInput, payload), sizeof type);
        if (!on_post(type)) return 0;  // "queued"
      }
    }
    return real_.Hypercall(vp, control, input, output);
  }
  void ConnectInterrupt(uint32_t vp, uint8_t vector, Event* handler) override {
    real_.ConnectInterrupt(vp, vector, handler);
  }
  uint64_t ReadTsc(uint32_t vp) override { return real_.ReadTsc(vp); }

  std::function<bool(MessageType)> on_post;

 private:
  Partition& real_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SYSTEM_WATCHED_PARTITION_H_
