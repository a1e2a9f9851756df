// One life of a driver: from its construction to its destruction, on its executor, with its
// context.
//
//   DeviceInstance instance(bus_side, device_class, executor, ...);      // bus executor
//   absl::Status started = co_await instance.Start();                    // there and back
//   co_await instance.Stop(StopReason::kShutdown);                       // PrepareStop, Stop
//   co_await instance.Destroy();
//
// Also the DeviceContext that the driver is given: each of its Tasks hops to the bus executor and
// back.
// Thread safety: the bus executor, except the DeviceContext, which is the device executor's.
// Ownership: owns the Device. Destroyed after Destroy, on the bus executor.
#ifndef VMBUSKIT_FRAMEWORK_BUS_DEVICE_INSTANCE_H_
#define VMBUSKIT_FRAMEWORK_BUS_DEVICE_INSTANCE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/bus/condition.h"
#include "framework/bus/device.h"
#include "framework/bus/device_channels.h"
#include "framework/bus/device_info.h"
#include "framework/bus/device_observer.h"
#include "framework/task/task.h"
#include "platform/executor.h"

namespace vmbuskit {

class DeviceInstance final : public DeviceContext {
 public:
  struct Parts {
    BusTransport& transport;
    Executor& bus;
    Executor& device;  // where the driver lives
    const DeviceClass& device_class;
    const Offer& offer;
    DeviceChannels& channels;
    DeviceObserver* observer;  // may be null
    uint32_t bus_version;
    Callback on_failure;  // on the bus executor, once, when the driver called Fail; see failure()
  };

  explicit DeviceInstance(const Parts& parts);
  ~DeviceInstance() override;

  Task<absl::Status> Start();
  // What Start was followed by: tells the observer that the device runs.
  Task<void> AnnounceRunning();
  Task<void> Stop(StopReason reason);
  Task<void> Destroy();  // waits for the visits below to end

  // Visits to the driver; without effect once it stopped.
  Task<void> NotifyOffered(uint16_t index);
  Task<void> NotifyRescinded(DeviceChannels::Record record);
  Task<void> Describe(DeviceInfo& info, InspectNode* node);

  // Valid from on_failure on.
  const absl::Status& failure() const { return failure_; }

  Executor& executor() override { return parts_.device; }
  const Offer& offer() const override { return parts_.offer; }
  uint32_t bus_version() const override { return parts_.bus_version; }
  uint32_t cpu_count() const override { return parts_.transport.vp_count(); }
  Task<absl::StatusOr<Channel*>> OpenChannel() override;
  Task<absl::StatusOr<Channel*>> OpenChannel(OpenParameters override_parameters) override;
  Task<uint32_t> WaitForSubchannels(uint32_t count, Duration deadline) override;
  Task<absl::StatusOr<Channel*>> OpenSubchannel(uint16_t index) override;
  Task<absl::StatusOr<Channel*>> OpenSubchannel(uint16_t index, OpenParameters parameters) override;
  Task<absl::StatusOr<SharedBuffer>> ShareBuffer(uint32_t byte_count) override;
  GuestMemory& memory() override { return parts_.transport.memory(); }
  PageAllocator& pages() override { return parts_.transport.pages(); }
  Task<absl::Status> CloseChannels() override;
  void Fail(const absl::Status& reason) override;

 private:
  OpenParameters ClassParameters() const;
  RunningDevice running() { return {*device_, parts_.device_class, parts_.offer, parts_.device}; }
  Task<absl::StatusOr<Channel*>> Open(uint16_t index, OpenParameters parameters);

  const Parts parts_;

  // The bus executor's.
  uint32_t visits_ = 0;
  bool destroying_ = false;
  Condition changed_;
  Event failed_;

  // The device executor's.
  std::unique_ptr<Device> device_;
  bool listens_ = false;  // constructed, not stopped
  bool announced_ = false;
  bool fail_called_ = false;
  uint32_t closes_ =
      0;  // calls of CloseChannels: each takes what is open, or on its way to the driver
  absl::Status failure_;  // written once, before failed_ is signalled
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_DEVICE_INSTANCE_H_
