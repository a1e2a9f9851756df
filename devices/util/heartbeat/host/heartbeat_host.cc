#include "devices/util/heartbeat/host/heartbeat_host.h"

#include <cstring>

#include "devices/util/heartbeat/protocol.h"
#include "devices/util/ic/host/ic_vsp.h"

namespace vmbuskit {
namespace {

constexpr int kMissedBeatsUntilLost = 3;

constexpr ic::Version kFrameworkVersions[] = {ic::kFramework1, ic::kFramework3};
constexpr ic::Version kMessageVersions[] = {heartbeat::kMessage1, heartbeat::kMessage3};
constexpr ic::IcVsp::Service kService = {
    .type = ic::MessageType::kHeartbeat,
    .offered = {kFrameworkVersions, kMessageVersions},
    .message_bytes_max = 4096,
};

class HeartbeatVsp final : public ic::IcVsp {
 public:
  explicit HeartbeatVsp(VspContext& context)
      : IcVsp(context, kService),
        interval_(context.executor(), Callback::To<&HeartbeatVsp::OnInterval>(this)) {}

  // Whether the guest is there shows anew; the sequence goes on.
  absl::Status Save(StateWriter& state) override {
    state(sequence_);
    state(missed_);
    return IcVsp::Save(state);
  }
  absl::Status Restore(StateReader& state) override {
    state(sequence_);
    state(missed_);
    return IcVsp::Restore(state);
  }

  void Inspect(InspectNode& node) const override {
    IcVsp::Inspect(node);
    node.Set("guest", guest_);
    node.Set("sequence", sequence_);
    node.Set("beats_missed", missed_);
  }

 private:
  void OnReady(const ic::Agreed&) override {
    unanswered_ = false;
    Beat();
  }

  void OnReply(const ic::Message& message) override {
    uint64_t sequence = 0;
    if (message.body.size() < sizeof sequence || message.header.status != ic::kStatusOk) return;
    std::memcpy(&sequence, message.body.data(), sizeof sequence);
    if (sequence != sequence_ + 1) return;  // the answer to an older beat
    unanswered_ = false;
    missed_in_a_row_ = 0;
    guest_ = "ok";
  }

  void OnUnavailable() override {
    interval_.Disarm();
    guest_ = "unknown";
  }

  void OnInterval() {
    if (unanswered_) {
      ++missed_;
      if (++missed_in_a_row_ >= kMissedBeatsUntilLost) guest_ = "lost";
    }
    Beat();
  }

  void Beat() {
    const heartbeat::Body body = {
        .sequence = sequence_ + 1,
        .application_state = heartbeat::ApplicationState::kUnknown,
        .reserved = 0,
    };
    // A full ring is a missed beat: the guest did not even read the last ones.
    if (SendRequest(std::as_bytes(std::span(&body, 1)))) ++sequence_;
    unanswered_ = true;
    interval_.Arm(context().executor().Now() + heartbeat::kInterval);
  }

  Timer interval_;
  const char* guest_ = "unknown";
  uint64_t sequence_ = 0;  // of the last beat sent
  bool unanswered_ = false;
  int missed_in_a_row_ = 0;
  uint64_t missed_ = 0;
};

}  // namespace

const VspClass& HeartbeatVspClass() {
  static const VspClass kClass = {
      .name = "heartbeat",
      .class_id = heartbeat::kClassId,
      .default_instance_id = heartbeat::kInstanceId,
      .offer_flags = ic::kOfferFlags,
      .user_defined = ic::OfferUserDefined(),
      .create = [](VspContext& context) -> std::unique_ptr<Vsp> {
        return std::make_unique<HeartbeatVsp>(context);
      },
  };
  return kClass;
}

}  // namespace vmbuskit
