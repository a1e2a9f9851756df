// The lanes of a controller: one for its primary channel, one for each open sub-channel, each on its channel's
// executor; opened, drained, ended and inspected from the device's.
//
//   StorvscLanes lanes(context, listener);
//   absl::Status opened = co_await lanes.OpenPrimary();
//   lanes.SetVersion(version);                                    // of the primary, and of those opened later
//   lanes.Serve();                                                // disks may use them: shared()
//   absl::Status more = co_await lanes.OpenSubchannel(1);
//   ...
//   co_await lanes.Drain(std::chrono::seconds(5));
//   absl::Status closed = co_await context.CloseChannels();
//   co_await lanes.EndAll(closed.ok() ? ScsiEnd::kGone : ScsiEnd::kLost);
//
// Thread safety: the device's executor; Tasks visit the lanes' executors and come back.
// Lifetime: the context and the listener outlive it; destroyed after EndAll, or when nothing was opened.
// Errors: those of opening a channel.
#ifndef VMBUSKIT_DEVICES_STORVSC_STORVSC_LANES_H_
#define VMBUSKIT_DEVICES_STORVSC_STORVSC_LANES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "devices/storvsc/scsi_lane.h"
#include "devices/storvsc/scsi_lanes.h"
#include "framework/bus/device.h"
#include "framework/observe/inspect.h"
#include "framework/task/task.h"

namespace vmbuskit {

class StorvscLanesListener {
 public:
  virtual ~StorvscLanesListener() = default;
  // On the device's executor. Of the primary channel only; `packet` is valid until return.
  virtual void OnUnsolicited(uint32_t operation, std::span<const std::byte> packet) = 0;
  // Requests are past their time: TakeOverdue tells which.
  virtual void OnOverdue() = 0;
  // A channel ended, the primary or (with an error that is its own, not a rescind) a sub-channel.
  virtual void OnLaneFailed(const absl::Status& reason) = 0;
};

class StorvscLanes {
 public:
  StorvscLanes(DeviceContext& context, StorvscLanesListener& listener);
  ~StorvscLanes();

  Task<absl::Status> OpenPrimary();
  void SetVersion(uint16_t version) {
    version_ = version;
    primary().SetVersion(version);
  }
  // The initialization ended: the primary is there for disks, and each sub-channel as soon as it is open.
  void Serve() { shared_->Add(primary()); }
  // What the disks pick from.
  const std::shared_ptr<ScsiLanes>& shared() const { return shared_; }
  Task<absl::Status> OpenSubchannel(uint16_t index);
  // The host took it back, and with it let go of what was outstanding there.
  Task<void> EndSubchannel(uint16_t index);
  bool is_open(uint16_t index) const { return Find(index) != nullptr; }

  // Valid from OpenPrimary to EndAll.
  ScsiLane& primary() const;
  // The same for those who may come back to it after EndAll.
  std::shared_ptr<ScsiLane> shared_primary() const;
  uint32_t count() const { return static_cast<uint32_t>(entries_.size()); }

  // Until nothing is outstanding on any lane: true; false after `limit`.
  Task<bool> Drain(Duration limit);
  // After the channels were closed: ends what is left and lets go of the lanes. Pages that the host may still use
  // (kLost) are withheld from reuse.
  Task<void> EndAll(ScsiEnd end);

  // Addresses that requests past their time were sent to, each once, since the last call.
  Task<std::vector<BlockAddress>> TakeOverdue();
  // Requests past their time, now.
  Task<uint32_t> CountOverdue();
  Task<void> Inspect(InspectNode& node);

 private:
  class Entry;
  using EntryPointer = std::shared_ptr<Entry>;

  EntryPointer Find(uint16_t index) const;
  Task<absl::Status> Adopt(uint16_t index, Channel* channel);
  Task<void> End(EntryPointer entry, ScsiEnd end);

  DeviceContext& context_;
  StorvscLanesListener& listener_;
  const std::shared_ptr<ScsiLanes> shared_ = std::make_shared<ScsiLanes>();
  uint16_t version_ = 0;
  std::vector<EntryPointer> entries_;  // primary first
  uint64_t subchannels_ended_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_STORVSC_LANES_H_
