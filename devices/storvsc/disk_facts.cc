#include "devices/storvsc/disk_facts.h"

#include <algorithm>
#include <bit>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "devices/storvsc/protocol.h"
#include "devices/storvsc/scsi.h"
#include "framework/base/status.h"
#include "platform/memory.h"

namespace vmbuskit {
namespace {

constexpr size_t kVpdHead = 4;
constexpr uint32_t kMinBlockBytes = 512;
constexpr uint32_t kMaxBlockBytes = 64 * 1024;
constexpr size_t kMaxIdBytes = 64;
// What any host takes in one WRITE SAME (section 7).
constexpr uint64_t kMaxWriteSameBytes = 8 << 20;

uint8_t Byte(std::span<const std::byte> data, size_t at) {
  return at < data.size() ? static_cast<uint8_t>(data[at]) : 0;
}

uint32_t Big32(std::span<const std::byte> data, size_t at) {
  return data.size() >= at + 4 ? scsi::ReadBig32(data.data() + at) : 0;
}

uint64_t Big64(std::span<const std::byte> data, size_t at) {
  return data.size() >= at + 8 ? scsi::ReadBig64(data.data() + at) : 0;
}

// Printable ASCII of the bytes [at, at + count) that arrived, without the blanks around it.
std::string Text(std::span<const std::byte> data, size_t at, size_t count) {
  std::string text;
  for (size_t i = at; i < std::min(at + count, data.size()); ++i) {
    const auto c = static_cast<char>(data[i]);
    text += c >= 0x20 && c < 0x7F ? c : ' ';
  }
  return std::string(absl::StripAsciiWhitespace(text));
}

// What follows the head of a VPD page: as much as the page says, and as arrived.
std::span<const std::byte> VpdBody(std::span<const std::byte> data, uint8_t page) {
  if (data.size() < kVpdHead || Byte(data, 1) != page) return {};
  const size_t length = scsi::ReadBig16(data.data() + 2);
  return data.subspan(kVpdHead, std::min(length, data.size() - kVpdHead));
}

std::string HexText(std::span<const std::byte> bytes) {
  return absl::BytesToHexString(
      {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kMaxIdBytes)});
}

absl::StatusOr<CapacityFacts> CheckCapacity(uint64_t last_block, uint32_t block_bytes) {
  constexpr char kSubject[] = "READ CAPACITY data";
  if (block_bytes < kMinBlockBytes || block_bytes > kMaxBlockBytes ||
      !std::has_single_bit(block_bytes)) {
    return Violation(kSubject, "block size", block_bytes, "no power of two from 512 to 65536");
  }
  // Offsets are bytes, also signed ones in other places.
  if (last_block >= uint64_t{INT64_MAX} / block_bytes) {
    return Violation(kSubject, "last block", last_block, "is beyond 2^63 bytes");
  }
  return CapacityFacts{
      .blocks = last_block + 1, .block_bytes = block_bytes, .physical_block_bytes = block_bytes};
}

std::optional<CachingFacts> ParseModeSense(std::span<const std::byte> data, size_t head,
                                           uint8_t device_specific, size_t descriptors) {
  if (data.size() < head) return std::nullopt;
  CachingFacts facts{.write_protected = (device_specific & scsi::kModeWriteProtected) != 0,
                     .dpo_fua = (device_specific & scsi::kModeForceUnitAccess) != 0};
  // Every page has two bytes at least, so this ends.
  for (size_t at = head + descriptors; at + 2 < data.size();) {
    const uint8_t code = Byte(data, at) & 0x7F;
    if (code == scsi::kCachingPage) {
      facts.write_cache = (Byte(data, at + 2) & scsi::kWriteCacheEnabled) != 0;
      break;
    }
    const bool subpage = (code & 0x40) != 0;
    at += subpage ? 4 + (Byte(data, at + 2) << 8 | Byte(data, at + 3)) : 2 + Byte(data, at + 1);
  }
  return facts;
}

}  // namespace

InquiryFacts ParseInquiry(std::span<const std::byte> data) {
  if (data.size() < 5) return {};
  return {.present = Byte(data, 0) >> 5 == 0,
          .device_type = static_cast<uint8_t>(Byte(data, 0) & 0x1F),
          .removable = (Byte(data, 1) & 0x80) != 0,
          .command_queueing = (Byte(data, 7) & 0x02) != 0,
          .vendor = Text(data, 8, 8),
          .product = Text(data, 16, 16),
          .revision = Text(data, 32, 4)};
}

VpdPages ParseVpdPages(std::span<const std::byte> data) {
  VpdPages pages;
  for (const std::byte page : VpdBody(data, scsi::kVpdPages)) pages.set(static_cast<uint8_t>(page));
  return pages;
}

std::string ParseVpdSerial(std::span<const std::byte> data) {
  return Text(VpdBody(data, scsi::kVpdSerial), 0, 255);
}

std::string ParseVpdId(std::span<const std::byte> data) {
  std::span<const std::byte> left = VpdBody(data, scsi::kVpdId);
  std::string best;
  int best_rank = 0;
  // Every designator has four bytes at least, so this ends.
  while (left.size() >= 4) {
    const size_t length = std::min<size_t>(Byte(left, 3), left.size() - 4);
    const std::span<const std::byte> id = left.subspan(4, length);
    const uint8_t association = Byte(left, 1) >> 4 & 3;
    const uint8_t type = Byte(left, 1) & 0x0F;
    left = left.subspan(4 + length);
    // Association 0: of the logical unit, not of a port or target.
    if (association != 0 || id.empty()) continue;
    if (type == 3 && best_rank < 3) {
      best = absl::StrCat("naa.", HexText(id));
      best_rank = 3;
    } else if (type == 2 && best_rank < 2) {
      best = absl::StrCat("eui.", HexText(id));
      best_rank = 2;
    } else if (type == 1 && best_rank < 1) {
      best = absl::StrCat("t10.", HexText(id));
      best_rank = 1;
    }
  }
  return best;
}

std::optional<LimitFacts> ParseVpdLimits(std::span<const std::byte> data) {
  if (VpdBody(data, scsi::kVpdLimits).empty()) return std::nullopt;
  const std::span<const std::byte> page =
      data.first(kVpdHead + VpdBody(data, scsi::kVpdLimits).size());
  return LimitFacts{.max_transfer = Big32(page, 8),
                    .optimal_transfer = Big32(page, 12),
                    .max_unmap = Big32(page, 20),
                    .max_unmap_descriptors = Big32(page, 24),
                    .unmap_granularity = Big32(page, 28),
                    .max_write_same = Big64(page, 36)};
}

bool ParseVpdRotational(std::span<const std::byte> data) {
  const std::span<const std::byte> body = VpdBody(data, scsi::kVpdRotation);
  // 0: not said; 1: does not turn; below 0x401 nothing is defined.
  return body.size() >= 2 && scsi::ReadBig16(body.data()) > 0x400;
}

std::optional<ProvisioningFacts> ParseVpdProvisioning(std::span<const std::byte> data) {
  const std::span<const std::byte> body = VpdBody(data, scsi::kVpdProvisioning);
  if (body.size() < 2) return std::nullopt;
  const uint8_t flags = Byte(body, 1);
  return ProvisioningFacts{.unmap = (flags & 0x80) != 0,
                           .write_same_unmaps = (flags & 0x40) != 0,
                           .unmapped_zero = (flags & 0x1C) == 0x04};
}

absl::StatusOr<CapacityFacts> ParseCapacity10(std::span<const std::byte> data) {
  if (data.size() < 8) return Violation("READ CAPACITY(10) data", "bytes", data.size());
  return CheckCapacity(Big32(data, 0), Big32(data, 4));
}

bool NeedsCapacity16(std::span<const std::byte> data) {
  return data.size() < 8 || Big32(data, 0) == 0xFFFFFFFF;
}

absl::StatusOr<CapacityFacts> ParseCapacity16(std::span<const std::byte> data) {
  if (data.size() < 12) return Violation("READ CAPACITY(16) data", "bytes", data.size());
  absl::StatusOr<CapacityFacts> facts = CheckCapacity(Big64(data, 0), Big32(data, 8));
  if (!facts.ok()) return facts;
  const uint32_t exponent = Byte(data, 13) & 0x0F;
  if (uint64_t{facts->block_bytes} << exponent <= kMaxBlockBytes) {
    facts->physical_block_bytes = facts->block_bytes << exponent;
  }
  facts->provisioned = (Byte(data, 14) & 0x80) != 0;
  facts->unmapped_zero = (Byte(data, 14) & 0x40) != 0;
  return facts;
}

std::optional<CachingFacts> ParseModeSense6(std::span<const std::byte> data) {
  return ParseModeSense(data.first(std::min<size_t>(data.size(), 1 + Byte(data, 0))), 4,
                        Byte(data, 2), Byte(data, 3));
}

std::optional<CachingFacts> ParseModeSense10(std::span<const std::byte> data) {
  const size_t length = data.size() < 8 ? 0 : 2 + size_t{scsi::ReadBig16(data.data())};
  const size_t descriptors = data.size() < 8 ? 0 : scsi::ReadBig16(data.data() + 6);
  return ParseModeSense(data.first(std::min(data.size(), length)), 8, Byte(data, 3), descriptors);
}

BlockInfo DescribeDisk(const DiskFacts& facts, const DiskLimits& limits) {
  const uint32_t block_bytes = facts.capacity.block_bytes;
  const LimitFacts said = facts.limits.value_or(LimitFacts{});
  BlockInfo info;
  info.block_bytes = block_bytes;
  info.physical_block_bytes = facts.capacity.physical_block_bytes;
  uint64_t transfer = limits.max_transfer_bytes;
  if (said.max_transfer != 0) {
    transfer = std::min(transfer, uint64_t{said.max_transfer} * block_bytes);
  }
  // Whole pages where there is room for one, whole blocks in any case.
  const uint64_t unit = std::max<uint64_t>(block_bytes, transfer >= kPageSize ? kPageSize : 1);
  info.max_transfer_bytes =
      static_cast<uint32_t>(std::max<uint64_t>(transfer / unit * unit, block_bytes));
  info.preferred_bytes = std::max<uint32_t>(info.physical_block_bytes, kPageSize);
  info.queue_depth = std::max(limits.queue_depth, 1u);
  info.rotational = facts.rotational;
  info.id = facts.id.empty() ? facts.serial : facts.id;
  info.vendor = facts.inquiry.vendor;
  info.product = facts.inquiry.product;

  const CachingFacts caching = facts.caching.value_or(CachingFacts{});
  const bool is_dvd = facts.inquiry.device_type == kScsiDvd;
  info.read_only = caching.write_protected || is_dvd;
  // A disk that did not say so is better flushed once too often; a DVD drive has nothing to flush, and refuses it.
  info.volatile_cache = !is_dvd && (facts.caching ? caching.write_cache : true);
  info.force_unit_access = caching.dpo_fua;

  const ProvisioningFacts provisioning = facts.provisioning.value_or(ProvisioningFacts{});
  if (provisioning.unmap && said.max_unmap != 0 && said.max_unmap_descriptors != 0 &&
      !info.read_only) {
    info.discard = true;
    info.discard_granularity = static_cast<uint32_t>(
        std::min<uint64_t>(uint64_t{std::max(said.unmap_granularity, 1u)} * block_bytes, 1u << 31));
    info.discard_bytes_max = uint64_t{said.max_unmap} * block_bytes;
  }
  // Not to hosts up to 5.1 (section 5.4); later ones say how much they take.
  if (limits.version > storvsc::kVersion5_1 && said.max_write_same != 0 && !info.read_only) {
    const uint64_t blocks = std::min(said.max_write_same, kMaxWriteSameBytes / block_bytes);
    info.write_zeroes = true;
    info.write_zeroes_bytes_max = blocks * block_bytes;
  }
  info.status = facts.capacity.provisioned;
  return info;
}

bool WriteSameUnmapsToZero(const DiskFacts& facts) {
  return facts.provisioning && facts.provisioning->write_same_unmaps &&
         (facts.provisioning->unmapped_zero || facts.capacity.unmapped_zero);
}

}  // namespace vmbuskit
