#include "devices/echo/echo.h"

#include <cstring>

#include "devices/echo/protocol.h"
#include "framework/bus/simple_device.h"
#include "framework/channel/call.h"

namespace vmbuskit {
namespace {

class Echo final : public SimpleDevice {
 public:
  using SimpleDevice::SimpleDevice;

  std::string NegotiatedVersions() const override {
    return version_ == 0 ? "" : std::to_string(version_ >> 16) + "." + std::to_string(version_ & 0xFFFF);
  }

 private:
  Task<absl::Status> Negotiate(Channel& channel) override {
    for (uint32_t version : echo::kVersions) {
      const echo::Negotiate request = {.version = version};
      echo::NegotiateAnswer answer;
      absl::StatusOr<uint32_t> bytes =
          co_await Call(channel, {.payload = std::as_bytes(std::span(&request, 1))},
                        std::as_writable_bytes(std::span(&answer, 1)), kDefaultDeadline);
      if (!bytes.ok()) co_return bytes.status();
      if (*bytes < sizeof answer) co_return Violation(channel.name(), "answer bytes", *bytes);
      if (answer.accepted != 1) continue;
      version_ = version;
      co_return absl::OkStatus();
    }
    co_return absl::UnimplementedError(channel.name() + ": the host accepts none of our versions");
  }

  void OnPacket(Channel& channel, const Packet& packet) override {
    echo::Echo header;
    if (packet.payload.size() < sizeof header) return Refuse(channel, "payload bytes", packet.payload.size());
    std::memcpy(&header, packet.payload.data(), sizeof header);
    if (header.type != echo::MessageType::kEcho) {
      return Refuse(channel, "message type", static_cast<uint32_t>(header.type));
    }
    if (header.data_bytes > packet.payload.size() - sizeof header) {
      return Refuse(channel, "data bytes", header.data_bytes);
    }
    Answer(packet.transaction_id, packet.payload.first(sizeof header + header.data_bytes));
  }

  uint32_t version_ = 0;
};

constexpr Guid kClassIds[] = {echo::kClassId};
constexpr DeviceClass kClass = {
    .name = "echo",
    .class_ids = kClassIds,
    .speed = DeviceSpeed::kFast,
    .create = [](DeviceContext& context) -> std::unique_ptr<Device> {
      return std::make_unique<Echo>(context);
    },
};

}  // namespace

const DeviceClass& EchoClass() { return kClass; }

}  // namespace vmbuskit
