// For tests: what a host gives a VSP, without a host. The VSP's channel is the host's end of a ChannelPair.
//
//   ChannelPair pair;
//   FakeVspContext context(pair.host_executor());
//   std::unique_ptr<Vsp> vsp = HeartbeatVspClass().create(context);
//   ASSERT_TRUE(vsp->OnOpen(pair.host(), context.open_data()).ok());
//
// Thread safety: one thread. Lifetime: before the VSP made, after it destroyed.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_TESTING_FAKE_VSP_CONTEXT_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_TESTING_FAKE_VSP_CONTEXT_H_

#include <array>
#include <cstdint>

#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

class FakeVspContext final : public VspContext {
 public:
  // `memory` is needed only by a VSP that uses GPA-direct packets or GPADLs.
  explicit FakeVspContext(Executor& executor, GuestMemory* memory = nullptr)
      : executor_(executor), memory_(memory) {}

  Executor& executor() override { return executor_; }
  GuestMemory& guest_memory() override { return *memory_; }
  absl::StatusOr<Mapping> MapGpadl(uint32_t handle) override {
    return absl::NotFoundError("no GPADL " + std::to_string(handle));
  }
  uint32_t OfferSubchannels(uint32_t count) override { return subchannels_offered = count; }
  void OnMemoryReleased() override { ++memory_released; }
  uint64_t ReferenceTime() override {
    return static_cast<uint64_t>(executor_.Now().time_since_epoch().count()) / 100;
  }

  Vsp::OpenData open_data(uint16_t subchannel_index = 0) const {
    return {.subchannel_index = subchannel_index, .user_data = user_data_};
  }

  uint32_t subchannels_offered = 0;
  int memory_released = 0;

 private:
  Executor& executor_;
  GuestMemory* const memory_;
  const std::array<std::byte, 120> user_data_{};
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_TESTING_FAKE_VSP_CONTEXT_H_
