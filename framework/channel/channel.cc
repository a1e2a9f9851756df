#include "framework/channel/channel.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"

namespace vmbuskit {
namespace {

// A ring too small for the answer serves as much as it can hold.
uint32_t AnswerRingBytes(const Channel::Options& options) {
  const uint32_t total = sizeof(PacketDescriptor) + ((options.answer_bytes + 7) & ~7u) +
                         static_cast<uint32_t>(kPacketTrailerBytes);
  return std::min(total, options.outgoing.data_bytes - 8);
}

}  // namespace

Channel::Channel(Executor& executor, Options options)
    : executor_(executor),
      options_(std::move(options)),
      reader_(options_.incoming,
              {.max_packet_bytes = options_.max_packet_bytes, .guest_end = options_.guest_end}),
      writer_(options_.outgoing),
      requests_(executor, options_.max_requests),
      answer_ring_bytes_(options_.answer_bytes == 0 ? 0 : AnswerRingBytes(options_)),
      wake_(executor, Callback::To<&Channel::OnWake>(this)),
      poller_(executor, Callback::To<&Channel::OnPoll>(this)),
      self_wake_(executor, Callback::To<&Channel::OnSelfWake>(this)) {}

Channel::~Channel() {
  assert(!draining_ && batch_depth_ == 0);
  assert(finished_ || handler_ == nullptr);
}

void Channel::Start(ChannelHandler& handler) {
  assert(handler_ == nullptr);
  if (finished_) return;
  handler_ = &handler;
  if (executor_.polls()) SetPolled(true);
  WakeSelf();
}

SendResult Channel::Send(const OutgoingPacket& packet) {
  if (closed()) [[unlikely]] {
    return SendResult::kClosed;
  }
  const size_t total = RingBytes(packet);
  if (total - kPacketTrailerBytes > options_.max_packet_bytes) return SendResult::kTooBig;
  const AppendResult appended = writer_.Append(packet);
  if (appended != AppendResult::kOk) [[unlikely]] {
    if (const SendResult result = Retry(packet, total, appended); result != SendResult::kOk) {
      return result;
    }
  }
  ++counters_.packets_out;
  counters_.bytes_out += packet.payload.size() + packet.payload_tail.size();
  if (tap_ != nullptr) [[unlikely]] {
    tap_->OnOutgoing(*this, packet);
  }
  // Appending may have seen space for the packet that waits, and then the peer will not signal.
  if ((wanted_bytes_ != 0 || stalled_) && !writer_.space_requested()) [[unlikely]] {
    WakeSelf();
  }
  if (batch_depth_ == 0) Publish();
  return SendResult::kOk;
}

SendResult Channel::Retry(const OutgoingPacket& packet, size_t total, AppendResult refused) {
  if (refused == AppendResult::kFull) {
    Publish();  // the peer cannot free what it does not see
    const auto bytes = static_cast<uint32_t>(total);
    if (wanted_bytes_ == 0 || bytes < wanted_bytes_) {
      const bool fits =
          writer_.RequestSpace(stalled_ ? std::min(bytes, answer_ring_bytes_) : bytes);
      if (fits && stalled_) WakeSelf();
      if (fits) refused = writer_.Append(packet);
      if (refused == AppendResult::kOk) return SendResult::kOk;
      if (fits) WakeSelf();  // a peer that takes space back; asks again at the next turn
      wanted_bytes_ = bytes;
    } else if (!writer_.space_requested()) {
      WakeSelf();
    }
  }
  switch (refused) {
    case AppendResult::kTooBig:
      return SendResult::kTooBig;
    case AppendResult::kCorrupt:
      Fail("outgoing", writer_.violation());
      WakeSelf();
      return SendResult::kClosed;
    default:
      ++counters_.full;
      return SendResult::kFull;
  }
}

SendResult Channel::SendRequest(OutgoingPacket&& packet, Request& request, Instant deadline) {
  if (closed()) return SendResult::kClosed;
  const uint64_t id = requests_.Add(request, deadline);
  if (id == 0) {
    wants_slot_ = true;
    ++counters_.full;
    return SendResult::kFull;
  }
  packet.completion_requested = true;
  packet.transaction_id = id;
  const SendResult result = Send(packet);
  if (result != SendResult::kOk) requests_.Cancel(id);
  return result;
}

SendResult Channel::Complete(uint64_t transaction_id, std::span<const std::byte> payload) {
  // Id 0 means unsolicited: no host answers it, and a guest's table would call it a violation
  // (protocol 02 section 8.4). Hosts may use id 0 for packets of their own.
  if (transaction_id == 0 && !options_.guest_end) {
    return closed() ? SendResult::kClosed : SendResult::kOk;
  }
  return Send(
      {.type = PacketType::kCompletion, .transaction_id = transaction_id, .payload = payload});
}

void Channel::Publish() {
  if (writer_.Publish()) SignalPeer();
}

void Channel::SignalPeer() {
  ++counters_.signals_sent;
  options_.signal_peer();
}

void Channel::WakeSelf() { self_wake_.Signal(); }

void Channel::Fail(const char* ring, const RingViolation& violation) {
  if (closed()) return;
  reason_ = Violation(absl::StrCat(name(), " ", ring, " ring"), violation.field, violation.value,
                      violation.rule);
}

void Channel::Close(const absl::Status& reason) {
  assert(!reason.ok());
  if (finished_) return;
  if (!closed()) reason_ = reason;
  Finish();
}

void Channel::Finish() {
  if (std::exchange(finished_, true)) return;
  wake_.Cancel();
  self_wake_.Cancel();
  poller_.Stop();
  writer_.CancelSpaceRequest();
  Publish();
  requests_.CloseAll();
  EndWritableWaits();
  if (handler_ != nullptr) std::exchange(handler_, nullptr)->OnClosed(*this, reason_);
}

void Channel::EndWritableWaits() {
  // Those too that were told of space and did not run yet: the channel may be gone when they do.
  writable_waits_.splice(writable_waits_.end(), writable_ended_);
  while (!writable_waits_.empty()) {
    WritableWait& wait = writable_waits_.front();
    writable_waits_.pop_front();
    wait.End(reason_);
  }
}

}  // namespace vmbuskit
