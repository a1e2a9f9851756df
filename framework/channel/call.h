// A request and its completion as one await, for control sequences.
//
//   Reply reply;
//   absl::StatusOr<uint32_t> length =
//       co_await Call(channel, {.payload = AsBytes(request)}, AsWritableBytes(reply));
//
// Waits for space when ring or request table are full, then for the completion; `deadline` covers
// both. Ends with the number of reply bytes copied (completions are padded to 8; what does not fit
// into `reply` is dropped), DeadlineExceeded, InvalidArgument for a packet that can never fit, or
// the channel's reason.
//
// Thread safety: the channel's executor. Lifetime: what `packet` and `reply` refer to must live as
// long as the task, not longer: a completion is copied out while the task waits, and one that comes
// after its deadline, or after the task was destroyed, goes nowhere. Guest pages that a GPA-direct
// packet names are another matter: the peer may use them until it answered or the channel is
// closed, so after DeadlineExceeded they must not be used again before.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_CALL_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_CALL_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "framework/channel/channel.h"
#include "framework/task/deadline.h"
#include "framework/task/task.h"

namespace vmbuskit {

Task<absl::StatusOr<uint32_t>> Call(Channel& channel, OutgoingPacket packet,
                                    std::span<std::byte> reply,
                                    Duration deadline = kDefaultDeadline);

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_CALL_H_
