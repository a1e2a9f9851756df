// The control messages of a storvsc channel, one at a time on the primary: initialization, sub-channels, resets.
// Source: protocol 10 sections 2, 3.2, 3.3, 4 and 5.5.
//
//   StorvscHandshake handshake(*channel);
//   absl::Status begun = co_await handshake.Begin();
//   absl::StatusOr<uint16_t> version = co_await handshake.NegotiateVersion(storvsc::kVersions);
//   absl::StatusOr<StorvscProperties> properties = co_await handshake.QueryProperties();
//   absl::Status asked = co_await handshake.CreateSubchannels(3);      // here, or after End
//   absl::Status ready = co_await handshake.End();
//
// Packets have 64 bytes until a version below 5.1 was accepted.
// Thread safety: the channel's executor. Lifetime: the channel may end at any time, which ends every wait with its
// reason, but goes only when no message is under way.
// Errors: FailedPrecondition names the message and the host's NTSTATUS; Violation for an answer that breaks a rule;
// DeadlineExceeded; the channel's reason.
#ifndef VMBUSKIT_DEVICES_STORVSC_HANDSHAKE_H_
#define VMBUSKIT_DEVICES_STORVSC_HANDSHAKE_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/storvsc/protocol.h"
#include "framework/channel/channel.h"
#include "framework/interfaces/block_controller.h"
#include "framework/task/deadline.h"
#include "framework/task/task.h"

namespace vmbuskit {

// What QUERY_PROPERTIES said, within bounds.
struct StorvscProperties {
  uint32_t max_transfer_bytes = 0;  // a multiple of 4096, at least that
  uint16_t max_subchannels = 0;
};

// "6.2", as people write it.
std::string StorvscVersionName(uint16_t version);

class StorvscHandshake {
 public:
  // `deadline`: of every message; a busy host takes many seconds.
  explicit StorvscHandshake(Channel& channel, Duration deadline = kDefaultDeadline)
      : channel_(channel), deadline_(deadline) {}

  Task<absl::Status> Begin();
  // The first of `versions`, newest first, that the host accepts.
  Task<absl::StatusOr<uint16_t>> NegotiateVersion(std::span<const uint16_t> versions);
  Task<absl::StatusOr<StorvscProperties>> QueryProperties();
  Task<absl::StatusOr<storvsc::FcHbaData>> QueryFcHbaData();
  Task<absl::Status> CreateSubchannels(uint16_t count);
  Task<absl::Status> End();
  // kResetLun, kResetBus or kResetAdapter. Ends when the host answered, which says nothing about what is outstanding.
  Task<absl::Status> Reset(storvsc::Operation operation, BlockAddress address, Duration deadline);

 private:
  template <typename Body>
  Task<absl::StatusOr<storvsc::PacketOf<Body>>> Ask(storvsc::Operation operation, Body body,
                                                    Duration deadline);
  template <typename Body>
  Task<absl::Status> Tell(storvsc::Operation operation, Body body, Duration deadline);

  Channel& channel_;
  const Duration deadline_;
  uint16_t version_ = 0;  // 0: not negotiated
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HANDSHAKE_H_
