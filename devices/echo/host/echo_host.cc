#include "devices/echo/host/echo_host.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <optional>

#include "devices/echo/protocol.h"
#include "framework/base/status.h"
#include "framework/channel/payload.h"

namespace vmbuskit {
namespace {

constexpr std::chrono::seconds kInterval{1};
constexpr uint32_t kDataBytes = 48;

class EchoVsp final : public Vsp, private Request {
 public:
  explicit EchoVsp(VspContext& context)
      : context_(context), interval_(context.executor(), Callback::To<&EchoVsp::SendEcho>(this)) {}

  absl::Status OnOpen(Channel& channel, const OpenData& data) override {
    VMBUSKIT_RETURN_IF_ERROR(CheckPrimary(channel, data));
    channel_ = &channel;
    sent_ = answered_ = wrong_ = late_ = 0;  // of this guest's driver, not of those before it
    channel.Start(*this);
    return absl::OkStatus();
  }

  void OnClose(Channel&) override {
    interval_.Disarm();
    channel_ = nullptr;
  }

  absl::Status Save(StateWriter& state) override {
    Exchange(state);
    return absl::OkStatus();
  }
  absl::Status Restore(StateReader& state) override {
    Exchange(state);
    return state.status();
  }
  // The version is agreed on and an echo may be under way: both stay so.
  absl::Status OnReopen(Channel& channel, const OpenData& data) override {
    VMBUSKIT_RETURN_IF_ERROR(CheckPrimary(channel, data));
    channel_ = &channel;
    channel.Start(*this);
    if (request_id_ != 0) (void)channel.ResumeRequest(request_id_, *this);
    if (next_in_) interval_.Arm(context_.executor().Now() + *next_in_);
    return absl::OkStatus();
  }

  void Inspect(InspectNode& node) const override {
    node.Set("sent", sent_);
    node.Set("answered", answered_);
    node.Set("wrong", wrong_);
    node.Set("late", late_);
  }

 private:
  // None is asked for, but a saved state may have one.
  static absl::Status CheckPrimary(const Channel& channel, const OpenData& data) {
    if (data.subchannel_index == 0) return absl::OkStatus();
    return Violation(channel.name(), "subchannel_index", data.subchannel_index,
                     "echo has one channel");
  }

  template <typename Archive>
  void Exchange(Archive& archive) {
    if constexpr (!Archive::kLoading) {
      next_in_.reset();
      if (interval_.armed()) next_in_ = interval_.deadline() - context_.executor().Now();
      request_id_ = channel_ == nullptr ? 0 : channel_->RequestId(*this);
    }
    archive(next_in_);
    archive(request_id_);
    archive(data_);
    for (uint64_t* figure : {&sent_, &answered_, &wrong_, &late_}) archive(*figure);
    if (next_in_) next_in_ = std::clamp<Duration>(*next_in_, Duration::zero(), kInterval);
  }

  void OnPacket(Channel& channel, const Packet& packet) override {
    std::optional<echo::Negotiate> message = ReadAs<echo::Negotiate>(packet.payload);
    if (!message) {
      return channel.Close(Violation(channel.name(), "negotiate bytes", packet.payload.size()));
    }
    message->accepted =
        std::ranges::find(echo::kVersions, message->version) != std::ranges::end(echo::kVersions);
    (void)channel.Complete(packet.transaction_id, BytesOf(*message));
    if (message->accepted == 1) interval_.Arm(context_.executor().Now());
  }

  void SendEcho() {
    if (outstanding()) return interval_.Arm(context_.executor().Now() + kInterval);
    const echo::Echo header = {.sequence = static_cast<uint32_t>(sent_), .data_bytes = kDataBytes};
    std::ranges::fill(data_, static_cast<std::byte>(sent_));
    const Instant now = context_.executor().Now();
    const SendResult result = channel_->SendRequest(
        {.payload = BytesOf(header), .payload_tail = data_}, *this, now + kInterval);
    if (result == SendResult::kOk) ++sent_;
    interval_.Arm(now + kInterval);
  }

  void OnEnd(RequestEnd end, const Packet* completion) override {
    if (end == RequestEnd::kDeadline) ++late_;
    if (end != RequestEnd::kCompleted) return;
    ++answered_;
    const std::span<const std::byte> payload = completion->payload;
    if (payload.size() < sizeof(echo::Echo) + kDataBytes ||
        std::memcmp(payload.data() + sizeof(echo::Echo), data_.data(), kDataBytes) != 0) {
      ++wrong_;
    }
  }

  VspContext& context_;
  Timer interval_;
  Channel* channel_ = nullptr;
  std::array<std::byte, kDataBytes> data_{};
  uint64_t sent_ = 0;
  uint64_t answered_ = 0;
  uint64_t wrong_ = 0;
  uint64_t late_ = 0;
  // As saved.
  std::optional<Duration> next_in_;
  uint64_t request_id_ = 0;
};

constexpr VspClass kClass = {
    .name = "echo",
    .class_id = echo::kClassId,
    .default_instance_id = echo::kInstanceId,
    .create = [](VspContext& context) -> std::unique_ptr<Vsp> {
      return std::make_unique<EchoVsp>(context);
    },
};

}  // namespace

const VspClass& EchoVspClass() { return kClass; }

}  // namespace vmbuskit
