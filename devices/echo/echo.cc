#include "devices/echo/echo.h"

#include "devices/echo/protocol.h"
#include "framework/base/status.h"
#include "framework/bus/simple_device.h"
#include "framework/channel/call.h"
#include "framework/channel/payload.h"

namespace vmbuskit {
namespace {
class Echo final : public SimpleDevice {
 public:
  using SimpleDevice::SimpleDevice;
  std::string NegotiatedVersions() const override { return std::to_string(version_); }

 private:
  Task<absl::Status> Negotiate(Channel& channel) override {
    for (uint32_t version : echo::kVersions) {
      echo::Negotiate message = {.version = version, .accepted = 0};
      absl::StatusOr<uint32_t> bytes =
          co_await Call(channel, {.payload = BytesOf(message)}, WritableBytesOf(message));
      if (!bytes.ok()) co_return bytes.status();
      if (*bytes < sizeof message || message.accepted != 1) continue;
      version_ = version;
      co_return absl::OkStatus();
    }
    co_return absl::UnimplementedError(channel.name() + ": the host takes none of our versions");
  }

  void OnPacket(Channel& channel, const Packet& packet) override {
    const std::optional<echo::Echo> header = packet.PayloadAs<echo::Echo>();
    if (!header || header->data_bytes > packet.payload.size() - sizeof *header) {
      return channel.Close(Violation(channel.name(), "echo bytes", packet.payload.size()));
    }
    (void)channel.Complete(packet.transaction_id,
                           packet.payload.first(sizeof *header + header->data_bytes));
  }

  uint32_t version_ = 0;
};

constexpr DeviceClass kClass = {
    .name = "echo",
    .class_ids = std::span(&echo::kClassId, 1),
    .speed = DeviceSpeed::kFast,
    .answer_bytes = 4096 + 512,  // it answers with what it got
    .create = [](DeviceContext& context) -> std::unique_ptr<Device> {
      return std::make_unique<Echo>(context);
    },
};

}  // namespace
const DeviceClass& EchoClass() { return kClass; }

}  // namespace vmbuskit
