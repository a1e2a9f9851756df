// The lanes of one controller as its disks see them: which there are now, and how to get a command to each.
//
//   lanes->Add(lane);                                           // on the lane's executor
//   std::shared_ptr<ScsiLanePort> port = lanes->Pick(executor); // null: there is none
//   if (port->local(executor)) port->lane()->Submit(command);   // its own executor
//   else if (!port->Submit(command)) ...                        // any other; false: the lane is gone
//   lanes->Remove(lane);                                        // on the lane's executor, before ScsiLane::EndAll
//
// Thread safety: Pick, version and ScsiLanePort::Submit from any thread; Add and Remove on the executor of the lane.
// Lifetime: shared by the controller, its disks and their queues. A port may be kept after its lane is gone.
#ifndef VMBUSKIT_DEVICES_STORVSC_SCSI_LANES_H_
#define VMBUSKIT_DEVICES_STORVSC_SCSI_LANES_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "devices/storvsc/scsi_lane.h"
#include "devices/storvsc/scsi_mailbox.h"
#include "devices/storvsc/sender_gate.h"
#include "platform/executor.h"

namespace vmbuskit {

class ScsiLanePort {
 public:
  explicit ScsiLanePort(ScsiLane& lane);

  // Hands `command` over; it is submitted at a turn of the lane's executor and ends there. False: not any more.
  [[nodiscard]] bool Submit(ScsiCommand& command);

  bool local(const Executor& executor) const { return &executor_ == &executor; }
  // On the lane's executor, while ScsiLanes lists it.
  ScsiLane* lane() const { return lane_; }

 private:
  friend class ScsiLanes;

  void Close();
  void OnMail() { Deliver(); }
  void Deliver();

  Executor& executor_;
  ScsiLane* const lane_;
  SenderGate gate_;
  ScsiMailbox mailbox_;
  std::optional<Event> mail_;
};

class ScsiLanes {
 public:
  void Add(ScsiLane& lane);
  // Commands that are on their way to it are submitted to it first.
  void Remove(ScsiLane& lane);

  // That of `executor` when there is one, else one that is the same for the same executor while none comes or goes.
  std::shared_ptr<ScsiLanePort> Pick(const Executor& executor) const;
  // Another one after each Add and Remove.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

 private:
  mutable std::mutex mutex_;  // not on the data path
  std::vector<std::shared_ptr<ScsiLanePort>> ports_;
  std::atomic<uint64_t> version_ = 1;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SCSI_LANES_H_
