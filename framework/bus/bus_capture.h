// The buffers of one capture: one per CPU, each filled by the channels that live there.
//
//   auto capture = std::make_shared<BusCapture>(transport, CaptureBuffer::Options{});
//   CaptureBuffer& buffer = capture->buffer(channel.executor().cpu());
//
// Thread safety: buffer(cpu) is that CPU's executor's. Lifetime: shared by all whose taps use it.
#ifndef VMBUSKIT_FRAMEWORK_BUS_BUS_CAPTURE_H_
#define VMBUSKIT_FRAMEWORK_BUS_BUS_CAPTURE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "framework/bus/transport.h"
#include "framework/observe/capture.h"

namespace vmbuskit {

class BusCapture {
 public:
  BusCapture(BusTransport& transport, const CaptureBuffer::Options& options) {
    for (uint32_t cpu = 0; cpu < transport.vp_count(); ++cpu) {
      buffers_.push_back(std::make_unique<CaptureBuffer>(transport.executor(cpu), options));
    }
  }

  CaptureBuffer& buffer(uint32_t cpu) { return *buffers_[cpu]; }
  uint32_t cpu_count() const { return static_cast<uint32_t>(buffers_.size()); }

 private:
  std::vector<std::unique_ptr<CaptureBuffer>> buffers_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_BUS_CAPTURE_H_
