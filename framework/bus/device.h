// What a device driver (VSC) is to the bus. Two sizes: Device, with everything in its own hands,
// and SimpleDevice (simple_device.h) for a class with one channel and no control traffic of its
// own.
//
// Life cycle (the bus calls, in this order, all on the device's executor):
//   constructor   cheap, cannot fail
//   Start         opens channels, negotiates; an error leads to PrepareStop(kFailed) and on
//   PrepareStop   close the gate, drain; ends by itself because every wait has a deadline
//   Stop          let go of everything; afterwards the destructor finds nothing outstanding
// Being unplugged (rescinded) is the same path with another reason.
#ifndef VMBUSKIT_FRAMEWORK_BUS_DEVICE_H_
#define VMBUSKIT_FRAMEWORK_BUS_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/base/guid.h"
#include "framework/bus/placement.h"
#include "framework/bus/transport.h"
#include "framework/channel/channel.h"
#include "framework/observe/inspect.h"
#include "framework/task/task.h"
#include "platform/executor.h"
#include "platform/memory.h"

namespace vmbuskit {

enum class StopReason {
  kShutdown,   // the product ends, or unbinds this device
  kRescinded,  // the host took the device away: its rings are dead already
  kFailed,     // Start returned an error
};

// What the bus gives a device: its offer, its executor, and the control path for its own channels.
// Lives as long as the device. Thread safety: the device's executor; the Tasks hop to the bus and
// back.
class DeviceContext {
 public:
  virtual ~DeviceContext() = default;

  virtual Executor& executor() = 0;
  virtual const Offer& offer() const = 0;
  virtual uint32_t bus_version() const = 0;
  // How many CPUs channels are spread over.
  virtual uint32_t cpu_count() const = 0;

  // Opens the primary channel with the ring sizes of the class (or of `override_parameters`, whose
  // relid and target_vp are filled in). The context owns the channel until CloseChannels.
  // Parameters are to be named variables of the caller: g++ 12 copies a braced temporary in a
  // co_await expression wrongly.
  virtual Task<absl::StatusOr<Channel*>> OpenChannel(OpenParameters override_parameters) = 0;
  virtual Task<absl::StatusOr<Channel*>> OpenChannel() = 0;
  // Waits until `count` sub-channels were offered or the deadline passed; how many there are.
  virtual Task<uint32_t> WaitForSubchannels(uint32_t count, Duration deadline) = 0;
  // Opens sub-channel `index` (1 ..) on the executor that placement chose; its packets arrive
  // there. The same choice of parameters.
  virtual Task<absl::StatusOr<Channel*>> OpenSubchannel(uint16_t index) = 0;
  virtual Task<absl::StatusOr<Channel*>> OpenSubchannel(uint16_t index,
                                                        OpenParameters parameters) = 0;

  // Shares freshly allocated guest pages with the host over the primary channel; they are torn down
  // and returned with the channel. The mapping stays valid that long.
  struct SharedBuffer {
    Gpadl gpadl;
    std::span<std::byte> bytes;
  };
  virtual Task<absl::StatusOr<SharedBuffer>> ShareBuffer(uint32_t byte_count) = 0;

  // For pages that packets name by their addresses (GPA-direct). Any thread; both outlive the bus.
  virtual GuestMemory& memory() = 0;
  virtual PageAllocator& pages() = 0;
  // A silent host may still use these bytes, which belong to somebody else's run: the pages stay out of use, whenever
  // their owner frees them, until UNLOAD_RESPONSE, and for ever without one. Any thread.
  void Withhold(Gpa gpa, size_t bytes) {
    if (bytes == 0) return;
    const Pfn first = gpa / kPageSize;
    pages().Withhold(first, (gpa + bytes - 1) / kPageSize - first + 1);
  }

  // Closes what was opened and takes back what was shared, sub-channels first. Opens and shares that are under way,
  // even those that the host granted already, end with Cancelled, or with their own error. The bus does this after Stop
  // for a device that did not.
  virtual Task<absl::Status> CloseChannels() = 0;

  // The running device cannot go on (its peer broke a rule, its channel ended): the bus takes it
  // down with StopReason::kFailed and shows `reason`. Without effect while the device stops or is
  // taken away already.
  virtual void Fail(const absl::Status& reason) { (void)reason; }
};

class BlockController;  // framework/interfaces/block_controller.h

class Device {
 public:
  virtual ~Device() = default;

  virtual Task<absl::Status> Start() = 0;
  virtual Task<void> PrepareStop(StopReason reason) = 0;
  virtual void Stop() = 0;

  // A sub-channel was offered (index >= 1) or taken back. On the device's executor. The Channel of
  // one that was taken back has ended and may be used until the call returned, not longer.
  virtual void OnSubchannelOffered(uint16_t index) { (void)index; }
  virtual void OnSubchannelRescinded(uint16_t index) { (void)index; }

  // What a running device is to programs; null: not that. Valid as long as the device.
  virtual BlockController* block_controller() { return nullptr; }

  // The versions that Start negotiated, as people write them ("3.0 / 3.0"); empty when there are
  // none.
  virtual std::string NegotiatedVersions() const { return {}; }
  virtual void Inspect(InspectNode& node) const { (void)node; }
  // The same for what lives on other executors, which it visits; comes back to the device's. The device is not
  // destroyed meanwhile, but may be stopped: it keeps what it visits (a Gate) or does without.
  virtual Task<void> InspectElsewhere(InspectNode& node) {
    (void)node;
    co_return;
  }
};

// A device class is a value that a product lists; nothing registers itself. All members are
// constants of the class and outlive every use.
struct DeviceClass {
  std::string_view name;
  std::span<const Guid> class_ids;
  DeviceSpeed speed = DeviceSpeed::kSlow;
  uint32_t send_ring_bytes = 12 * 1024;     // data bytes
  uint32_t receive_ring_bytes = 12 * 1024;  // data bytes
  uint32_t max_packet_bytes = 4096 + 512;
  uint32_t max_requests = 64;
  uint32_t answer_bytes = 0;  // of the largest answer that OnPacket sends; see Channel::Options
  std::unique_ptr<Device> (*create)(DeviceContext& context) = nullptr;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_DEVICE_H_
