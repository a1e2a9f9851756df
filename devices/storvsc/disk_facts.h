// What a LUN says about itself, read from the data of INQUIRY, READ CAPACITY and MODE SENSE.
// Source: protocol 10 sections 5.4, 7, 7.1 and 9.
//
//   DiskFacts facts;
//   facts.inquiry = ParseInquiry(data.first(command.transferred));
//   facts.capacity = *ParseCapacity16(...);                      // an error: reject the LUN
//   BlockInfo info = DescribeDisk(facts, {.max_transfer_bytes = 256 << 10, .version = storvsc::kVersion6_2});
//
// Every parser takes the bytes that arrived, however few: a field that did not arrive counts as absent. No length that
// the LUN names is believed beyond them. The data must be private memory.
//
// Thread safety: pure functions. Errors: a capacity that no disk can have, with field and value.
#ifndef VMBUSKIT_DEVICES_STORVSC_DISK_FACTS_H_
#define VMBUSKIT_DEVICES_STORVSC_DISK_FACTS_H_

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "framework/interfaces/block_device.h"

namespace vmbuskit {

struct InquiryFacts {
  // A logical unit is there: all zeros (an untouched buffer) look so too, so ask only what succeeded (section 5.4).
  bool present = false;
  uint8_t device_type = 0x1F;  // 0 disk, 5 DVD
  bool removable = false;
  bool command_queueing = false;
  std::string vendor;
  std::string product;
  std::string revision;
};
inline constexpr uint8_t kScsiDisk = 0x00;
inline constexpr uint8_t kScsiDvd = 0x05;

struct CapacityFacts {
  uint64_t blocks = 0;
  uint32_t block_bytes = 512;
  uint32_t physical_block_bytes = 512;
  bool provisioned = false;    // LBPME: UNMAP may be there
  bool unmapped_zero = false;  // LBPRZ

  uint64_t bytes() const { return blocks * block_bytes; }
};

// VPD page B0. Counts are blocks; 0: not said.
struct LimitFacts {
  uint32_t max_transfer = 0;
  uint32_t optimal_transfer = 0;
  uint32_t max_unmap = 0;
  uint32_t max_unmap_descriptors = 0;
  uint32_t unmap_granularity = 0;
  uint64_t max_write_same = 0;
};

// VPD page B2.
struct ProvisioningFacts {
  bool unmap = false;              // LBPU
  bool write_same_unmaps = false;  // LBPWS
  bool unmapped_zero = false;      // LBPRZ
};

struct CachingFacts {
  bool write_protected = false;
  bool dpo_fua = false;
  bool write_cache = false;
};

struct DiskFacts {
  InquiryFacts inquiry;
  CapacityFacts capacity;
  std::optional<LimitFacts> limits;
  std::optional<ProvisioningFacts> provisioning;
  std::optional<CachingFacts> caching;
  bool rotational = false;
  std::string serial;
  std::string id;
};

// INQUIRY, standard data. Not present when there are fewer than 5 bytes.
InquiryFacts ParseInquiry(std::span<const std::byte> data);

// The pages that VPD page 00 lists.
using VpdPages = std::bitset<256>;
VpdPages ParseVpdPages(std::span<const std::byte> data);
// Page 80; empty when there is none.
std::string ParseVpdSerial(std::span<const std::byte> data);
// Page 83: the best designator of the logical unit as "naa.6002...", "eui....", "t10....", else empty.
std::string ParseVpdId(std::span<const std::byte> data);
// Pages B0, B1 and B2.
std::optional<LimitFacts> ParseVpdLimits(std::span<const std::byte> data);
bool ParseVpdRotational(std::span<const std::byte> data);
std::optional<ProvisioningFacts> ParseVpdProvisioning(std::span<const std::byte> data);

absl::StatusOr<CapacityFacts> ParseCapacity10(std::span<const std::byte> data);
// True when READ CAPACITY(10) could not say it and (16) must be asked.
bool NeedsCapacity16(std::span<const std::byte> data);
absl::StatusOr<CapacityFacts> ParseCapacity16(std::span<const std::byte> data);

// MODE SENSE(6) and (10), with the caching page in it or not.
std::optional<CachingFacts> ParseModeSense6(std::span<const std::byte> data);
std::optional<CachingFacts> ParseModeSense10(std::span<const std::byte> data);

// What the controller adds.
struct DiskLimits {
  // Of one command: the host's and the lanes' (ScsiLane::max_bytes), rounded down.
  uint32_t max_transfer_bytes = 0;
  // Negotiated.
  uint16_t version = 0;
  // StorvscProfile's.
  uint32_t queue_depth = 128;
  uint32_t bounce_bytes = 512 * 1024;
  uint32_t timeout_seconds = 60;
};

BlockInfo DescribeDisk(const DiskFacts& facts, const DiskLimits& limits);
// WRITE SAME(16) with the UNMAP bit leaves zeros behind.
bool WriteSameUnmapsToZero(const DiskFacts& facts);

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_DISK_FACTS_H_
