// INQUIRY data of disks: the standard page, the vital product data pages, and what is said about a LUN that is not
// there. Source: protocol 10 sections 7 and 7.1.
//
//   std::array<std::byte, kInquiryBytesMax> page;
//   const size_t bytes = BuildVitalPage(identity, 0x83, page);      // 0: no such page
//
// Thread safety: pure functions.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_INQUIRY_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_INQUIRY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "devices/storvsc/host/scsi_target.h"

namespace vmbuskit {

inline constexpr size_t kStandardInquiryBytes = 104;
inline constexpr size_t kInquiryBytesMax = 256;

using ScsiDiskId = std::array<uint8_t, 16>;

// What a disk says about itself.
struct DiskIdentity {
  std::string vendor = "Msft    ";           // 8 characters; guests know disks of Hyper-V by it
  std::string product = "Virtual Disk    ";  // 16
  std::string revision = "1.0 ";             // 4
  std::string serial = {};                   // empty: no page 80; at most 251 characters
  ScsiDiskId id{};
  bool unmap = false;
  uint16_t rotation_rate = 1;  // page B1; 1: does not rotate
  uint32_t unmap_granularity_blocks = 1;
  uint64_t write_same_blocks_max = 0;
  uint64_t blocks = 0;  // for the threshold exponent of page B2
};

// An id that is the same for the same text, and most likely another for another.
ScsiDiskId DiskIdOf(std::string_view text);

size_t BuildStandardInquiry(const DiskIdentity& identity,
                            std::span<std::byte, kInquiryBytesMax> page);
// 0: the disk has no such page.
size_t BuildVitalPage(const DiskIdentity& identity, uint8_t page_code,
                      std::span<std::byte, kInquiryBytesMax> page);

// INQUIRY of a disk.
bool EndInquiry(const DiskIdentity& identity, ScsiTask& task);
// INQUIRY of a LUN that is not there: LUN 0 has strings, the others have none.
bool EndAbsentInquiry(uint8_t lun, ScsiTask& task);

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_INQUIRY_H_
