#include "devices/util/ic/host/ic_vsp.h"

#include <cassert>
#include <cstring>

#include "framework/base/status.h"

namespace vmbuskit::ic {
namespace {

// No service asks for a sub-channel, but a saved state may have one.
absl::Status CheckPrimary(const Channel& channel, const Vsp::OpenData& data) {
  if (data.subchannel_index == 0) return absl::OkStatus();
  return Violation(channel.name(), "subchannel_index", data.subchannel_index,
                   "the service has one channel");
}

}  // namespace

std::array<std::byte, 120> OfferUserDefined() {
  std::array<std::byte, 120> bytes{};
  std::memcpy(bytes.data(), &kPipeModeMessage, sizeof kPipeModeMessage);
  return bytes;
}

IcVsp::IcVsp(VspContext& context, const Service& service)
    : context_(context), service_(service), buffer_(service.message_bytes_max) {}

absl::Status IcVsp::OnOpen(Channel& channel, const OpenData& data) {
  VMBUSKIT_RETURN_IF_ERROR(CheckPrimary(channel, data));
  channel_ = &channel;
  negotiations_unanswered_ = 0;
  ended_because_ = absl::OkStatus();
  channel.Start(*this);
  Renegotiate();
  return absl::OkStatus();
}

void IcVsp::OnClose(Channel&) {
  channel_ = nullptr;
  state_ = State::kClosed;
  agreed_.reset();
  OnUnavailable();
}

template <typename Archive>
void IcVsp::Exchange(Archive& archive) {
  bool ended = state_ == State::kEnded;
  std::string reason(ended_because_.message());
  archive(ended);
  archive(reason);
  archive(negotiations_unanswered_);
  archive(requests_);
  archive(replies_);
  archive(stale_);
  if constexpr (Archive::kLoading) {
    channel_ = nullptr;
    agreed_.reset();
    state_ = ended ? State::kEnded : State::kClosed;
    ended_because_ = ended ? absl::DataLossError(reason) : absl::OkStatus();
  }
}

absl::Status IcVsp::Save(StateWriter& state) {
  Exchange(state);
  return absl::OkStatus();
}

absl::Status IcVsp::Restore(StateReader& state) {
  Exchange(state);
  return state.status();
}

absl::Status IcVsp::OnReopen(Channel& channel, const OpenData& data) {
  VMBUSKIT_RETURN_IF_ERROR(CheckPrimary(channel, data));
  channel_ = &channel;
  channel.Start(*this);
  Renegotiate();
  return absl::OkStatus();
}

void IcVsp::Renegotiate() {
  if (channel_ == nullptr || state_ == State::kEnded) return;
  if (state_ == State::kReady) OnUnavailable();
  agreed_.reset();
  state_ = State::kNegotiating;
  SendNegotiation();
}

void IcVsp::SendNegotiation() {
  const size_t bytes = BuildNegotiation(service_.offered, buffer_);
  const SendResult result =
      channel_->Send({.type = PacketType::kInBand, .payload = std::span(buffer_).first(bytes)});
  negotiation_unsent_ = result == SendResult::kFull;
  if (result == SendResult::kOk) ++negotiations_unanswered_;
}

void IcVsp::OnWritable(Channel&) {
  if (negotiation_unsent_) SendNegotiation();
}

bool IcVsp::SendRequest(std::span<const std::byte> body) {
  if (!ready()) return false;
  assert(kBodyOffset + body.size() <= buffer_.size());
  Header header = {};
  header.framework = agreed_->framework;
  header.message_type = service_.type;
  header.message = agreed_->message;
  header.body_bytes = static_cast<uint16_t>(body.size());
  header.flags = kRequestFlags;
  std::memcpy(buffer_.data() + kBodyOffset, body.data(), body.size());
  const size_t bytes = FinishMessage(buffer_, header);
  const SendResult result =
      channel_->Send({.type = PacketType::kInBand, .payload = std::span(buffer_).first(bytes)});
  if (result != SendResult::kOk) return false;
  ++requests_;
  return true;
}

void IcVsp::OnPacket(Channel& channel, const Packet& packet) {
  if (state_ == State::kEnded) return;
  if (packet.payload.size() > buffer_.size()) {
    return End(Violation(channel.name(), "ic answer bytes", packet.payload.size()));
  }
  std::memcpy(buffer_.data(), packet.payload.data(), packet.payload.size());
  absl::StatusOr<Message> message = ParseMessage(std::span(buffer_).first(packet.payload.size()));
  if (!message.ok()) return End(message.status());
  if (message->header.flags != kResponseFlags) {
    return End(Violation(channel.name(), "ic answer flags", message->header.flags, "must be 5"));
  }
  if (message->header.transaction_id != 0) {
    return End(Violation(channel.name(), "ic answer transaction id", message->header.transaction_id,
                         "must echo 0"));
  }
  HandleAnswer(*message);
}

void IcVsp::HandleAnswer(Message& message) {
  const MessageType type = message.header.message_type;
  const bool is_negotiation = type == MessageType::kNegotiate;
  if (is_negotiation && negotiations_unanswered_ != 0) --negotiations_unanswered_;
  if (state_ == State::kNegotiating) {
    // An answer from before a renegotiation, also one to an earlier negotiation: dropped, as it is void.
    if (!is_negotiation || negotiations_unanswered_ != 0 || negotiation_unsent_) {
      ++stale_;
      return;
    }
    absl::StatusOr<Agreed> agreed = ReadNegotiationAnswer(message, service_.offered);
    if (!agreed.ok()) return End(agreed.status());
    agreed_ = *agreed;
    state_ = State::kReady;
    OnReady(*agreed_);
    return;
  }
  if (type != service_.type) {
    return End(Violation(channel_->name(), "ic answer type", static_cast<uint16_t>(type)));
  }
  ++replies_;
  OnReply(message);
}

void IcVsp::End(const absl::Status& reason) {
  ended_because_ = reason;
  state_ = State::kEnded;
  agreed_.reset();
  OnUnavailable();
}

void IcVsp::Inspect(InspectNode& node) const {
  constexpr const char* kNames[] = {"closed", "negotiating", "ready", "ended"};
  node.Set("state", kNames[static_cast<int>(state_)]);
  if (agreed_) node.Set("versions", agreed_->ToString());
  node.Set("requests", requests_);
  node.Set("replies", replies_);
  node.Set("stale", stale_);
  if (!ended_because_.ok()) node.Set("ended_because", std::string(ended_because_.message()));
}

}  // namespace vmbuskit::ic
