// How a disk shows itself to the guest. Thread safety: plain values.
//
//   vsp.Attach({.lun = 3}, disk, {.serial = "0042", .read_only = true});
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_DISK_OPTIONS_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_DISK_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "devices/storvsc/host/inquiry.h"

namespace vmbuskit {

class Reservations;

enum class ScsiUnit : uint8_t { kDisk, kDvd };

struct DiskOptions {
  ScsiUnit unit = ScsiUnit::kDisk;
  std::string serial = {};
  // Absent: made of the back end's id, or of the LUN's address when it has none: then two controllers have disks that
  // claim to be the same.
  std::optional<ScsiDiskId> disk_id = {};
  bool read_only = false;     // besides what the back end says
  uint32_t sector_bytes = 0;  // 0: the back end's block; else a multiple of it, at most 64 KiB
  uint32_t physical_sector_bytes = 0;  // 0: the back end's
  // Absent: as the back end. True: the guest is told to flush. False: every write is made durable before it ends.
  std::optional<bool> write_cache = {};
  std::optional<bool> unmap = {};  // absent: as the back end
  // Absent: 1 (none), or 7200 for a back end that rotates.
  std::optional<uint16_t> rotation_rate = {};
  uint32_t write_same_bytes_max = 8 << 20;
  std::string vendor = "Msft    ";
  std::string product = "Virtual Disk    ";
  std::string revision = "1.0 ";
  bool reservations_supported = true;
  // Shared by the LUNs of several controllers that show the same disk; absent: the LUN's own.
  std::shared_ptr<Reservations> reservations = {};
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_DISK_OPTIONS_H_
