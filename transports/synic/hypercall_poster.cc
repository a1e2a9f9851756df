#include "transports/synic/hypercall_poster.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

HypercallPoster::HypercallPoster(Partition& partition, uint32_t vp, Executor& executor,
                                 Options options, Listener& listener)
    : partition_(partition),
      vp_(vp),
      executor_(executor),
      options_(options),
      listener_(listener),
      retry_(executor, Callback::To<&HypercallPoster::Pump>(this)) {}

absl::Status HypercallPoster::Start(PageAllocator& pages) {
  absl::StatusOr<PageRun> page = pages.Allocate(1);
  if (!page.ok()) return page.status();
  absl::StatusOr<std::span<std::byte>> bytes =
      partition_.memory().Translate(page->gpa(), kPageSize);
  if (!bytes.ok()) return bytes.status();
  page_ = *std::move(page);
  input_ = *bytes;
  return absl::OkStatus();
}

void HypercallPoster::Stop() {
  Clear();
  input_ = {};
  page_.Reset();
}

void HypercallPoster::Clear() {
  retry_.Disarm();
  queue_.clear();
  tries_ = 0;
}

absl::Status HypercallPoster::Post(uint32_t connection_id, const MessageBuffer& message,
                                   bool contact) {
  if (queue_.size() >= options_.queue_messages_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the host takes no messages: ", queue_.size(), " wait already"));
  }
  queue_.push_back({.connection_id = connection_id, .contact = contact, .message = message});
  if (queue_.size() == 1 && !pumping_) Pump();
  return absl::OkStatus();
}

HypercallStatus HypercallPoster::PostAtOnce(uint32_t connection_id, const MessageBuffer& message) {
  PostMessageInput input{.connection_id = connection_id,
                         .reserved = 0,
                         .message_type = kMessageTypeVmbus,
                         .payload_size = static_cast<uint32_t>(message.size()),
                         .payload = {}};
  std::memcpy(input.payload.data(), message.bytes().data(), message.size());
  std::memcpy(input_.data(), &input, sizeof input);
  return ResultStatus(partition_.Hypercall(vp_, SimpleCall(kCallPostMessage), page_.gpa(), 0));
}

HypercallPoster::Outcome HypercallPoster::Try(const Waiting& waiting, HypercallStatus& status) {
  ++tries_;
  status = PostAtOnce(waiting.connection_id, waiting.message);
  if (status == HypercallStatus::kSuccess) return Outcome::kPosted;
  const bool transient = status == HypercallStatus::kInsufficientMemory ||
                         status == HypercallStatus::kInsufficientBuffers ||
                         (status == HypercallStatus::kInvalidConnectionId && !waiting.contact);
  return transient && tries_ < options_.tries_max ? Outcome::kTryAgain : Outcome::kFailed;
}

void HypercallPoster::Pump() {
  // Bounded: every round but the last takes one message out of a bounded queue.
  pumping_ = true;
  while (!queue_.empty()) {
    HypercallStatus status{};
    const Outcome outcome = Try(queue_.front(), status);
    if (outcome == Outcome::kTryAgain) {
      ++counters_.retries;
      const uint32_t doublings = std::min(tries_ - 1, options_.doublings_max);
      retry_.Arm(executor_.Now() + options_.first_delay * (int64_t{1} << doublings));
      break;
    }
    const bool contact = queue_.front().contact;
    queue_.pop_front();
    tries_ = 0;
    if (outcome == Outcome::kPosted) {
      ++counters_.posted;
    } else {
      ++counters_.failed;
      listener_.OnPostFailed(contact, status);
    }
  }
  pumping_ = false;
}

}  // namespace vmbuskit
