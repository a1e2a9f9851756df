// The bus: takes offers from a transport, finds the driver of each by class GUID, and runs every
// device through its life, each for itself and all at the same time.
//
//   Bus bus(transport, {});
//   absl::Status status = bus.RegisterClasses(DriverSetClasses());
//   status = co_await bus.Start();                       // offers come from now on, for ever
//   status = co_await bus.WaitUntilSettled(std::chrono::seconds(60));
//   const std::vector<DeviceInfo> devices = co_await bus.Describe();
//   status = co_await bus.Stop();                        // every device down, then the connection
//
// Offers are matched by class GUID, never by order. A device whose start fails or hangs is shown as
// such and harms nobody. A rescinded device goes in whatever state it is; a device offered again
// with the same instance is a new one, which starts when the old one is gone. Sub-channels find
// their device by instance, before or after it.
//
// Thread safety: everything on the bus executor, that of CPU 0. Drivers live on the executors of
// their CPUs.
// Lifetime: the transport, the classes and the observer outlive the bus; it may go when Stop
// succeeded (or before Start). Units: durations as named.
// Errors: a limit that was hit, and an offer that breaks a rule, refuse that offer, are counted and
// kept as `last_refusal` in the inspect tree.
// Source: protocol 02 sections 3.3, 4 and 5.4.
#ifndef VMBUSKIT_FRAMEWORK_BUS_BUS_H_
#define VMBUSKIT_FRAMEWORK_BUS_BUS_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "framework/base/guid.h"
#include "framework/bus/bus_capture.h"
#include "framework/bus/class_registry.h"
#include "framework/bus/condition.h"
#include "framework/bus/device.h"
#include "framework/bus/device_info.h"
#include "framework/bus/device_node.h"
#include "framework/bus/device_observer.h"
#include "framework/bus/placement.h"
#include "framework/bus/transport.h"
#include "framework/observe/capture.h"
#include "framework/observe/inspect.h"
#include "framework/observe/pcapng.h"
#include "framework/task/spawn.h"
#include "framework/task/task.h"
#include "platform/time.h"

namespace vmbuskit {

class Bus final : private BusListener, private DeviceNodeOwner {
 public:
  struct Options {
    uint32_t devices_max = 2047;            // at the same time, with and without driver
    uint32_t early_subchannels_max = 2047;  // sub-channels offered before their device
    uint32_t gone_devices_max = 16;         // remembered for Describe
    // After these the channels of a device that is still starting or stopping are ended, so that
    // its waits end.
    Duration start_deadline = std::chrono::seconds(180);
    Duration stop_deadline = std::chrono::seconds(60);
    Duration shutdown_deadline = std::chrono::seconds(300);  // of Stop, for all devices together
    DeviceObserver* observer = nullptr;
  };

  Bus(BusTransport& transport, const Options& options);
  ~Bus() override;
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;

  // At any time; devices that waited for a driver start. See ClassRegistry for errors.
  absl::Status RegisterClasses(std::span<const DeviceClass* const> classes);

  Task<absl::Status> Start();
  // Ok also when there is nothing to stop. DeadlineExceeded names the devices that do not end; the
  // connection stays then, because they may still use their memory, and Stop may be called again.
  Task<absl::Status> Stop();

  // Until all offers of the start were delivered and no device is starting. Failed devices count as
  // settled.
  Task<absl::Status> WaitUntilSettled(Duration deadline);

  // NotFound when no device has that instance. Ends when the new start began, not when it
  // succeeded.
  absl::Status RestartDevice(const Guid& instance_id);
  // Moves the interrupts of channel `index` of the device to `cpu`. The channel's packets are still
  // handled on the executor where it was opened.
  Task<absl::Status> Retarget(Guid instance_id, uint16_t index, uint32_t cpu);
  // Nothing new is placed on an offline CPU. Refused for CPU 0 (it takes the bus's own messages)
  // and, naming them, while channels send their interrupts there.
  absl::Status SetCpuOffline(uint32_t cpu);
  absl::Status SetCpuOnline(uint32_t cpu);
  // Retargets every channel of `cpu` to other online CPUs. The first error, after trying all.
  Task<absl::Status> MoveChannelsAway(uint32_t cpu);

  // The devices, oldest first, then those that went last.
  Task<std::vector<DeviceInfo>> Describe();
  Task<void> Inspect(InspectNode& node);

  // Captures the packets of every channel, with a buffer per CPU. The caller writes the file's
  // beginning (PcapngWriter::Begin) into its sink, then DrainCapture appends what was captured
  // since the last time, CPU by CPU; `sink` is used on the bus executor. StopCapture forgets what
  // was not drained.
  Task<absl::Status> StartCapture(CaptureBuffer::Options options);
  Task<absl::Status> DrainCapture(ByteSink& sink);
  Task<void> StopCapture();

  uint32_t device_count() const { return static_cast<uint32_t>(nodes_.size()); }
  bool connected() const { return state_ == State::kRunning; }
  uint64_t offers_refused() const { return offers_refused_; }

 private:
  enum class State { kStopped, kStarting, kRunning, kLost, kStopping };
  using Node = std::shared_ptr<DeviceNode>;

  void OnOffer(const Offer& offer) override;
  void OnAllOffersDelivered() override;
  void OnRescind(uint32_t relid) override;
  void OnConnectionLost(const absl::Status& reason) override;
  void OnSubchannelGone(uint32_t relid) override;
  void OnStateChanged() override { changed_.NotifyAll(); }

  absl::Status CheckOffer(const Offer& offer) const;
  void AddDevice(const Offer& offer);
  void AddSubchannel(const Offer& offer);
  void AdoptSubchannels(const Node& node);
  void Refuse(const Offer& offer, const absl::Status& reason);
  Task<void> RunNode(Node node);
  void Forget(const Node& node);
  bool Settled() const;
  absl::Status NotStopped() const;
  absl::StatusOr<Node> FindDevice(const Guid& instance_id) const;
  absl::Status CheckCpu(uint32_t cpu) const;

  BusTransport& transport_;
  Executor& executor_;
  const Options options_;
  ClassRegistry classes_;
  Placement placement_;
  State state_ = State::kStopped;
  bool offers_delivered_ = false;
  absl::Status lost_;

  std::vector<Node> nodes_;                     // oldest first
  absl::flat_hash_map<Guid, Node> instances_;   // the newest of each
  absl::flat_hash_map<uint32_t, Node> relids_;  // primaries and sub-channels
  // Ordered, because they are walked: the same run each time.
  std::map<uint32_t, Offer> early_subchannels_;  // their device was not offered yet
  std::set<uint32_t> refused_;                   // relids to give back when rescinded
  std::deque<DeviceInfo> gone_;
  std::shared_ptr<BusCapture> capture_;  // null: off
  uint64_t offers_ = 0;
  uint64_t offers_refused_ = 0;
  uint64_t rescinds_ = 0;
  absl::Status last_refusal_;

  Condition changed_;
  TaskGroup lives_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_BUS_H_
