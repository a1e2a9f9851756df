// The LUNs of a controller: found by scans, published as disks, taken away again. Source: protocol 10 sections 1, 6, 7.
//
//   StorvscDisks disks(context, probe, {.targets = 2, .report_luns = true}, lanes.shared(), attention);
//   disks.SetListener(listener);
//   absl::Status scanned = co_await disks.Scan();              // again for every hint that something changed
//   absl::Status polled = co_await disks.PollMedia();          // drives with exchangeable media
//   disks.RetireAll();                                         // the controller goes
//
// A scan asks those it knows whether they are still there, then every target which LUNs it has. A LUN that turned
// into another disk is taken away and published anew; one whose size changed is resized. A DVD drive is published, as
// a read-only disk, while a medium is in it. LUNs of other types, and disks that nobody can use (a capacity that no
// disk has), are shown by Inspect and left alone.
//
// Thread safety: the device's executor. Scan and PollMedia one at a time. Lifetime: what it was given outlives it; the
// listener is called from inside of Scan, PollMedia, SetListener and RetireAll.
// Errors: those of ScsiCaller::Execute: the channel ended. What is wrong with a LUN is its own affair.
#ifndef VMBUSKIT_DEVICES_STORVSC_STORVSC_DISKS_H_
#define VMBUSKIT_DEVICES_STORVSC_STORVSC_DISKS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "devices/storvsc/disk_facts.h"
#include "devices/storvsc/lun_probe.h"
#include "devices/storvsc/scsi_disk.h"
#include "devices/storvsc/scsi_lanes.h"
#include "framework/bus/device.h"
#include "framework/interfaces/block_controller.h"
#include "framework/observe/inspect.h"
#include "framework/task/task.h"

namespace vmbuskit {

// Where LUNs may be.
struct StorvscTopology {
  uint8_t paths = 1;
  uint8_t first_target = 0;
  uint8_t targets = 1;
  uint16_t luns = 64;       // of a target that does not report them: how many are probed
  bool report_luns = true;  // false: one LUN, 0
};

class StorvscDisks {
 public:
  StorvscDisks(DeviceContext& context, LunProbe& probe, const StorvscTopology& topology,
               std::shared_ptr<ScsiLanes> lanes, std::shared_ptr<SharedEvent> attention);

  // Before the first scan.
  void SetLimits(const DiskLimits& limits) { limits_ = limits; }
  void SetListener(BlockControllerListener* listener);

  Task<absl::Status> Scan();
  Task<absl::Status> PollMedia();
  bool has_removable_media() const;
  // In the last scan some LUN or target could not say what it is or has, being busy, not ready yet or failing: scan
  // again. A disk that was published before stays meanwhile.
  bool in_doubt() const { return in_doubt_; }

  // What the disks learnt by the way: gone LUNs are taken away at once; true when a scan is wanted.
  bool HearDisks();
  // Takes every disk away; none comes any more.
  void RetireAll();

  void Inspect(InspectNode& node) const;

 private:
  struct Lun {
    DiskFacts facts;
    std::shared_ptr<ScsiDisk> disk;  // null: not published
    std::string problem;             // why not
    bool dvd() const { return facts.inquiry.device_type == kScsiDvd; }
  };

  Task<absl::Status> CheckKnown();
  Task<absl::Status> CheckOne(BlockAddress address);
  Task<absl::Status> ScanTarget(uint8_t path, uint8_t target);
  Task<absl::StatusOr<std::vector<uint8_t>>> LunsOf(uint8_t path, uint8_t target);
  Task<absl::Status> Add(BlockAddress address);
  Task<absl::StatusOr<DiskFacts>> Identify(BlockAddress address, InquiryFacts inquiry);
  absl::Status Doubt(const absl::Status& status);
  void Publish(BlockAddress address, Lun& lun);
  void Unpublish(BlockAddress address, Lun& lun);
  void Remove(BlockAddress address);
  void Adopt(BlockAddress address, Lun& lun, absl::StatusOr<DiskFacts> facts);
  std::vector<BlockAddress> Addresses() const;

  DeviceContext& context_;
  LunProbe& probe_;
  const StorvscTopology topology_;
  const std::shared_ptr<ScsiLanes> lanes_;
  const std::shared_ptr<SharedEvent> attention_;
  DiskLimits limits_;
  BlockControllerListener* listener_ = nullptr;
  std::map<BlockAddress, Lun> luns_;
  bool retired_ = false;
  bool in_doubt_ = false;
  uint64_t scans_ = 0;
  uint64_t added_ = 0;
  uint64_t removed_ = 0;
  uint64_t resized_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_STORVSC_DISKS_H_
