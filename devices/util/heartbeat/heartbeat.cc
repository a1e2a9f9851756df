#include "devices/util/heartbeat/heartbeat.h"

#include <cstring>

#include "devices/util/heartbeat/protocol.h"
#include "devices/util/ic/ic_device.h"

namespace vmbuskit {
namespace {

using heartbeat::ApplicationState;

constexpr ic::Version kFrameworkVersions[] = {ic::kFramework3, ic::kFramework1};
constexpr ic::Version kMessageVersions[] = {heartbeat::kMessage3, heartbeat::kMessage1};
constexpr ic::IcDevice::Service kService = {
    .type = ic::MessageType::kHeartbeat,
    .versions = {kFrameworkVersions, kMessageVersions},
    .body_bytes_min = heartbeat::kBodyBytesMin,
    .message_bytes_max = 4096,
};

class Heartbeat final : public ic::IcDevice {
 public:
  explicit Heartbeat(DeviceContext& context) : IcDevice(context, kService) {}

  void Inspect(InspectNode& node) const override {
    IcDevice::Inspect(node);
    node.Set("last_sequence", last_sequence_);
  }

 private:
  uint32_t OnRequest(ic::Message& message) override {
    std::memcpy(&last_sequence_, message.body.data(), sizeof last_sequence_);
    const uint64_t next = last_sequence_ + 1;
    std::memcpy(message.body.data(), &next, sizeof next);
    if (message.body.size() >= sizeof(heartbeat::Body)) {
      const ApplicationState healthy = ApplicationState::kHealthy;
      std::memcpy(message.body.data() + offsetof(heartbeat::Body, application_state), &healthy,
                  sizeof healthy);
    }
    return ic::kStatusOk;
  }

  uint64_t last_sequence_ = 0;
};

constexpr Guid kClassIds[] = {heartbeat::kClassId};
constexpr DeviceClass kClass = {
    .name = "heartbeat",
    .class_ids = kClassIds,
    .speed = DeviceSpeed::kSlow,
    .answer_bytes = kService.message_bytes_max,
    .create = [](DeviceContext& context) -> std::unique_ptr<Device> {
      return std::make_unique<Heartbeat>(context);
    },
};

}  // namespace

const DeviceClass& HeartbeatClass() { return kClass; }

}  // namespace vmbuskit
