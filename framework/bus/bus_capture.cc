// Packet capture across the bus: turning it on and off while channels run, and fetching what was
// captured.
#include "framework/bus/bus_capture.h"

#include <utility>
#include <vector>

#include "framework/bus/bus.h"
#include "framework/observe/pcapng.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {
namespace {

class MemorySink final : public ByteSink {
 public:
  absl::Status Write(std::span<const std::byte> bytes) override {
    data.insert(data.end(), bytes.begin(), bytes.end());
    return absl::OkStatus();
  }
  std::vector<std::byte> data;
};

}  // namespace

Task<absl::Status> Bus::StartCapture(CaptureBuffer::Options options) {
  if (capture_ != nullptr) co_return absl::FailedPreconditionError("a capture runs already");
  capture_ = std::make_shared<BusCapture>(transport_, options);
  const std::vector<Node> nodes = nodes_;
  for (const Node& node : nodes) co_await node->channels().SetCapture(capture_);
  co_return absl::OkStatus();
}

Task<absl::Status> Bus::DrainCapture(ByteSink& sink) {
  const std::shared_ptr<BusCapture> capture = capture_;
  if (capture == nullptr) co_return absl::FailedPreconditionError("no capture runs");
  for (uint32_t cpu = 0; cpu < capture->cpu_count(); ++cpu) {
    // Writing may take its time: not on the executor that moves packets.
    MemorySink memory;
    PcapngWriter writer(memory, {});
    co_await SwitchTo(transport_.executor(cpu));
    absl::Status drained = capture->buffer(cpu).Drain(writer);
    co_await SwitchTo(executor_);
    if (!drained.ok()) co_return drained;
    if (absl::Status status = sink.Write(memory.data); !status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

Task<void> Bus::StopCapture() {
  capture_ = nullptr;
  const std::vector<Node> nodes = nodes_;
  for (const Node& node : nodes) co_await node->channels().SetCapture(nullptr);
}

}  // namespace vmbuskit
