#include "devices/util/ic/ic_device.h"

#include <cstring>

#include "framework/base/status.h"

namespace vmbuskit::ic {

IcDevice::IcDevice(DeviceContext& context, const Service& service)
    : SimpleDevice(context), service_(service), buffer_(service.message_bytes_max) {}

std::string IcDevice::NegotiatedVersions() const { return agreed_ ? agreed_->ToString() : ""; }

void IcDevice::Inspect(InspectNode& node) const {
  node.Set("versions", NegotiatedVersions());
  node.Set("negotiations", negotiations_);
  node.Set("requests", requests_);
  node.Set("dropped_malformed", dropped_malformed_);
  if (!last_violation_.ok()) node.Set("last_violation", std::string(last_violation_.message()));
}

void IcDevice::OnPacket(Channel& channel, const Packet& packet) {
  if (packet.payload.size() > buffer_.size()) {
    ++dropped_malformed_;
    last_violation_ = Violation(channel.name(), "ic message bytes", packet.payload.size());
    return;
  }
  std::memcpy(buffer_.data(), packet.payload.data(), packet.payload.size());
  absl::StatusOr<Message> message = ParseMessage(std::span(buffer_).first(packet.payload.size()));
  if (!message.ok()) {
    ++dropped_malformed_;
    last_violation_ = message.status();
    return;
  }
  if (message->header.message_type == MessageType::kNegotiate) {
    ++negotiations_;
    agreed_ = AnswerNegotiation(*message, service_.versions);
    if (agreed_) OnNegotiated(*agreed_);
  } else if (message->header.message_type == service_.type &&
             message->body.size() < service_.body_bytes_min) {
    ++dropped_malformed_;
    last_violation_ = Violation(channel.name(), "ic body size", message->body.size());
    return;
  } else {
    message->header.status = Dispatch(*message);
    message->header.flags = kResponseFlags;
  }
  std::memcpy(buffer_.data() + kHeaderOffset, &message->header, sizeof message->header);
  // The answer is a message on the pipe, not a completion, in the request's own length (rules F1 and F2).
  (void)channel.Send({.type = PacketType::kInBand,
                      .transaction_id = packet.transaction_id,
                      .payload = std::span(buffer_).first(message->bytes)});
}

uint32_t IcDevice::Dispatch(Message& message) {
  if (message.header.message_type != service_.type || !agreed_) return kStatusFail;
  ++requests_;
  return OnRequest(message);
}

}  // namespace vmbuskit::ic
