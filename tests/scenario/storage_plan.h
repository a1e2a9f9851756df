// What the machine of a storage scenario looks like: its controllers, their limits, their disks.
//
//   const StoragePlan plan = StoragePlan::Draw(faults.random(), faults.plan());
//
// Thread safety: a plain value.
#ifndef VMBUSKIT_TESTS_SCENARIO_STORAGE_PLAN_H_
#define VMBUSKIT_TESTS_SCENARIO_STORAGE_PLAN_H_

#include <cstdint>
#include <vector>

#include "devices/storvsc/host/disk_options.h"
#include "devices/storvsc/host/storvsp.h"
#include "devices/storvsc/storvsc_controller.h"
#include "framework/base/guid.h"
#include "tests/scenario/fault_plan.h"
#include "tests/scenario/storage_user.h"

namespace vmbuskit {

struct StoragePlan {
  struct Disk {
    StorageDisk::Plan disk;
    DiskOptions options;
  };
  struct Controller {
    Guid instance = {};
    StorvspOptions host;
    std::vector<Disk> disks;
  };

  std::vector<Controller> controllers;
  // Of the guest's driver.
  StorvscProfile scsi;
  uint32_t send_ring_bytes = 0;
  uint32_t receive_ring_bytes = 0;
  uint32_t requests_max = 0;

  static StoragePlan Draw(Random& random, const FaultPlan& plan);
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_STORAGE_PLAN_H_
