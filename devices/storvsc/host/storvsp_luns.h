// The LUNs of one controller: which targets are where, and those that were taken away and still have work.
//
//   luns.Attach(address, std::move(target));       // AlreadyExists: something is there
//   StorvspLun* lun = luns.Find({.lun = 3});       // null: nothing is there
//   ++lun->under_way; ...; luns.Release(*lun);
//
// Thread safety: the executor. Lifetime: longer than the work on its LUNs.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_LUNS_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_LUNS_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "devices/storvsc/host/scsi_target.h"
#include "framework/interfaces/block_controller.h"

namespace vmbuskit {

struct StorvspLun {
  BlockAddress address;
  std::unique_ptr<ScsiTarget> target;
  uint32_t under_way = 0;  // tasks that the target has
};

class StorvspLuns {
 public:
  using Map = std::map<BlockAddress, std::unique_ptr<StorvspLun>>;

  // AlreadyExists.
  absl::Status Attach(const BlockAddress& address, std::unique_ptr<ScsiTarget> target);
  // NotFound. What is under way goes on; the target goes with its end.
  absl::Status Detach(const BlockAddress& address);
  void DetachAll();

  StorvspLun* Find(const BlockAddress& address) {
    if (address.path == 0 && address.target == 0) return first_[address.lun];
    const auto found = attached_.find(address);
    return found == attached_.end() ? nullptr : found->second.get();
  }
  const Map& all() const { return attached_; }

  // True when a LUN that was taken away has no work any more: Reap destroys it then.
  bool Release(StorvspLun& lun) { return --lun.under_way == 0 && !retired_.empty(); }
  void Reap();
  bool retired() const { return !retired_.empty(); }  // some were taken away and still have work

  // REPORT LUNS for the LUNs of one path and target.
  void EndReportLuns(uint8_t path, uint8_t target, ScsiTask& task) const;

 private:
  Map attached_;
  std::array<StorvspLun*, 256> first_{};  // those of path 0 and target 0
  std::vector<std::unique_ptr<StorvspLun>> retired_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_LUNS_H_
