#include "framework/channel/call.h"

#include <algorithm>
#include <coroutine>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

// The request of one Call; lives in its frame.
class PendingCall final : public Request {
 public:
  PendingCall(Channel& channel, std::span<std::byte> reply, Duration deadline)
      : channel_(channel),
        reply_(reply),
        deadline_(deadline),
        resume_(channel.executor(), Callback::To<&PendingCall::Resume>(this)) {}
  ~PendingCall() override {
    if (outstanding()) channel_.AbandonRequest(*this);
  }

  void OnEnd(RequestEnd end, const Packet* completion) override {
    switch (end) {
      case RequestEnd::kCompleted: {
        const size_t length = std::min(reply_.size(), completion->payload.size());
        if (length != 0) std::memcpy(reply_.data(), completion->payload.data(), length);
        result_ = static_cast<uint32_t>(length);
        break;
      }
      case RequestEnd::kDeadline:
        result_ = absl::DeadlineExceededError(
            absl::StrCat(channel_.name(), ": no completion within ", FormatDuration(deadline_)));
        break;
      case RequestEnd::kClosed:
        result_ = channel_.reason();  // the channel may be gone when the task resumes
        break;
    }
    resume_.Signal();
  }

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> coroutine) { coroutine_ = coroutine; }
  absl::StatusOr<uint32_t> await_resume() { return std::move(result_); }

 private:
  void Resume() { coroutine_.resume(); }

  Channel& channel_;
  const std::span<std::byte> reply_;
  const Duration deadline_;
  Event resume_;
  std::coroutine_handle<> coroutine_;
  absl::StatusOr<uint32_t> result_{0u};
};

}  // namespace

Task<absl::StatusOr<uint32_t>> Call(Channel& channel, OutgoingPacket packet,
                                    std::span<std::byte> reply, Duration deadline) {
  const Instant end = DeadlineIn(channel.executor(), deadline);
  PendingCall call(channel, reply, deadline);
  for (;;) {
    switch (channel.SendRequest(packet, call, end)) {
      case SendResult::kOk:
        co_return co_await call;
      case SendResult::kClosed:
        co_return channel.reason();
      case SendResult::kTooBig:
        co_return absl::InvalidArgumentError(absl::StrCat(channel.name(), ": a packet of ",
                                                          RingBytes(packet),
                                                          " bytes on the ring can never fit"));
      case SendResult::kFull:
        break;
    }
    absl::Status space = co_await channel.Writable(end);
    if (!space.ok()) co_return space;
  }
}

}  // namespace vmbuskit
