// The bus's record of one offered device, and its life cycle (design section 3).
//
//   auto node = std::make_shared<DeviceNode>(environment, offer, device_class, predecessor);
//   co_await node->Live();             // starts the driver, runs it, ends when the device is gone
//   node->Rescind(relid);              // in any state; Live does the rest
//
//   offered -> starting -> running -> stopping -> gone
//                  \__________________/  \-> failed -> starting (Restart) or gone
//
// Being taken back in any state refuses new operations and ends every channel, so that all that the
// driver waits for ends; then it stops on the same path as in a shut-down. Live returns with
// nothing of the device left; giving the primary's relid back is the caller's last word.
//
// Thread safety: the bus executor. Lifetime: shared between the bus and whoever describes it; Live
// must have returned before the last owner goes.
#ifndef VMBUSKIT_FRAMEWORK_BUS_DEVICE_NODE_H_
#define VMBUSKIT_FRAMEWORK_BUS_DEVICE_NODE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "framework/bus/condition.h"
#include "framework/bus/device.h"
#include "framework/bus/device_channels.h"
#include "framework/bus/device_info.h"
#include "framework/bus/device_instance.h"
#include "framework/bus/device_observer.h"
#include "framework/bus/placement.h"
#include "framework/bus/transport.h"
#include "framework/observe/inspect.h"
#include "framework/task/spawn.h"
#include "framework/task/task.h"

namespace vmbuskit {

// What a node needs of its bus.
class DeviceNodeOwner {
 public:
  virtual ~DeviceNodeOwner() = default;
  // A rescinded sub-channel is closed and forgotten: its relid can be given back.
  virtual void OnSubchannelGone(uint32_t relid) = 0;
  virtual void OnStateChanged() = 0;
};

class DeviceNode {
 public:
  struct Environment {
    BusTransport& transport;
    Placement& placement;
    DeviceNodeOwner& owner;
    DeviceObserver* observer = nullptr;
    Duration start_deadline;  // then the channels of a starting device are ended
    Duration stop_deadline;   // the same for a stopping one
  };

  // `predecessor`: the device that had this instance before and may still be stopping; null when
  // there is none.
  DeviceNode(const Environment& environment, const Offer& offer, const DeviceClass* device_class,
             std::shared_ptr<DeviceNode> predecessor);
  ~DeviceNode();

  // Once, at the start.
  Task<void> Live();

  // A driver for a device that had none.
  void AssignClass(const DeviceClass& device_class);
  absl::Status AddSubchannel(const Offer& offer);
  // The host took the channel back, or all of the device when it is the primary's.
  void Rescind(uint32_t relid);
  void ConnectionLost(const absl::Status& reason);
  // The bus ends.
  void Shutdown();
  // Stops a failed or running device and starts it again.
  absl::Status Restart();

  // Fills `info`, and `node` when there is one, visiting the executors of the driver and its
  // channels.
  Task<void> Describe(DeviceInfo& info, InspectNode* node);
  // Without the visits.
  void DescribeItself(DeviceInfo& info) const;

  const std::shared_ptr<DeviceNode>& predecessor() const { return predecessor_; }
  DeviceState state() const { return state_; }
  bool rescinded() const { return rescinded_; }
  const Offer& offer() const { return offer_; }
  const std::string& name() const { return name_; }
  bool has_class() const { return device_class_ != nullptr; }
  DeviceChannels& channels() { return channels_; }

 private:
  Executor& bus() const { return environment_.transport.executor(0); }
  bool ending() const { return rescinded_ || shutdown_; }
  bool stop_wanted() const { return ending() || restart_ || !failure_.ok(); }
  StopReason stop_reason() const;
  void SetState(DeviceState state, std::string status);
  void TakeBack(const absl::Status& reason);
  void CutOff(const absl::Status& reason);
  void Wake();
  void OnFailure();
  void OnTimer();

  Task<void> WaitForPredecessor();
  Task<void> RunOnce();
  Task<void> StartDevice();
  Task<void> StopDevice();
  Task<void> JoinWork();
  Task<void> WithdrawSubchannel(DeviceChannels::Record record);
  Task<void> NotifyOffered(uint16_t index);

  const Environment environment_;
  const Offer offer_;
  const DeviceClass* device_class_;
  std::string name_;
  std::shared_ptr<DeviceNode> predecessor_;

  DeviceState state_ = DeviceState::kOffered;
  std::string status_;
  bool rescinded_ = false;
  bool shutdown_ = false;
  bool restart_ = false;
  absl::Status failure_;  // of this start
  absl::Status closed_;   // of the last CloseAll

  DeviceChannels channels_;
  std::unique_ptr<DeviceInstance> instance_;
  Timer timer_;  // of Start, then of PrepareStop
  Condition changed_;
  TaskGroup work_;  // what goes on beside Live
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_DEVICE_NODE_H_
