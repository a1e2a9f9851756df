#include "devices/storvsc/export/nbd_export.h"

#include <algorithm>
#include <bit>

namespace vmbuskit {
namespace {

constexpr uint32_t kBlockBytesMax = 1 << 16;  // the protocol's limit of "minimum block size"

uint16_t FlagsOf(const BlockInfo& info, bool read_only) {
  uint16_t flags = nbd::kHasFlags | nbd::kSendFlush | nbd::kSendFua | nbd::kSendDf |
                   nbd::kCanMultiConn | nbd::kSendCache;
  if (info.rotational) flags |= nbd::kRotational;
  if (read_only) return flags | nbd::kReadOnly;
  if (info.discard) flags |= nbd::kSendTrim;
  if (info.write_zeroes) flags |= nbd::kSendWriteZeroes | nbd::kSendFastZero;
  return flags;
}

std::string DescriptionOf(const BlockInfo& info) {
  std::string text = info.vendor;
  if (!text.empty() && !info.product.empty()) text += ' ';
  text += info.product;
  text.resize(std::min<size_t>(text.size(), nbd::kStringBytesMax));
  return text;
}

// The flags that a command may have, of those that this client was offered.
uint16_t AllowedFlags(uint16_t command, const NbdAgreement& agreement) {
  switch (command) {
    case nbd::kCmdRead:
      return agreement.structured_replies ? nbd::kFlagDf : 0;
    case nbd::kCmdWrite:
    case nbd::kCmdTrim:
      return nbd::kFlagFua;
    case nbd::kCmdWriteZeroes:
      return nbd::kFlagFua | nbd::kFlagNoHole | nbd::kFlagFastZero;
    case nbd::kCmdBlockStatus:
      return nbd::kFlagReqOne;
    default:
      return 0;
  }
}

bool IsOffered(uint16_t command, const NbdAgreement& agreement) {
  switch (command) {
    case nbd::kCmdRead:
    case nbd::kCmdWrite:
    case nbd::kCmdFlush:
    case nbd::kCmdCache:
      return true;
    // On a read-only export they fail for that.
    case nbd::kCmdTrim:
      return (agreement.info.flags & (nbd::kSendTrim | nbd::kReadOnly)) != 0;
    case nbd::kCmdWriteZeroes:
      return (agreement.info.flags & (nbd::kSendWriteZeroes | nbd::kReadOnly)) != 0;
    case nbd::kCmdBlockStatus:
      return agreement.base_allocation;
    default:
      return false;
  }
}

bool Changes(uint16_t command) {
  return command == nbd::kCmdWrite || command == nbd::kCmdTrim || command == nbd::kCmdWriteZeroes;
}

bool PastEndIsNoSpace(uint16_t command) {
  return command == nbd::kCmdWrite || command == nbd::kCmdWriteZeroes;
}

// Reads and writes are bounded by what a connection may keep in memory.
nbd::Error CheckPayload(const nbd::Request& request, const NbdAgreement& agreement) {
  const bool has_payload = request.command == nbd::kCmdRead || request.command == nbd::kCmdWrite;
  if (!has_payload || request.bytes <= agreement.info.payload_bytes_max) return nbd::kOk;
  const bool may_overflow = request.command == nbd::kCmdRead && agreement.structured_replies;
  return may_overflow ? nbd::kEOverflow : nbd::kEInval;
}

}  // namespace

NbdExportInfo DescribeNbdExport(const BlockDevice& disk, const NbdExportOptions& options) {
  const BlockInfo& info = disk.info();
  const uint32_t block = info.block_bytes;
  const uint32_t preferred = std::max({info.preferred_bytes, info.physical_block_bytes, block});
  return {
      .name = options.name,
      .description = options.description.empty() ? DescriptionOf(info) : options.description,
      .bytes = disk.bytes() / block * block,
      .flags = FlagsOf(info, options.read_only || info.read_only),
      .block_bytes = block,
      .preferred_bytes = std::bit_floor(std::min(preferred, std::max(kBlockBytesMax, block))),
      .payload_bytes_max = std::max(options.payload_bytes_max, kBlockBytesMax),
  };
}

nbd::Error NbdErrorOf(BlockResult result, uint16_t command) {
  switch (result) {
    case BlockResult::kOk:
      return nbd::kOk;
    case BlockResult::kInvalid:
    case BlockResult::kNotSupported:  // ENOTSUP is for fast zeroes alone
      return nbd::kEInval;
    case BlockResult::kOutOfRange:
      return PastEndIsNoSpace(command) ? nbd::kENoSpc : nbd::kEInval;
    case BlockResult::kReadOnly:
    case BlockResult::kConflict:
      return nbd::kEPerm;
    case BlockResult::kNoSpace:
      return nbd::kENoSpc;
    case BlockResult::kMediumError:
    case BlockResult::kAborted:
    case BlockResult::kTimedOut:
      return nbd::kEIo;
    case BlockResult::kGone:
    case BlockResult::kLost:
      return nbd::kEShutdown;
  }
  return nbd::kEIo;
}

nbd::Error CheckNbdRequest(const nbd::Request& request, const NbdAgreement& agreement) {
  const NbdExportInfo& info = agreement.info;
  const uint64_t offset = request.offset;
  const uint32_t bytes = request.bytes;
  if (!IsOffered(request.command, agreement)) return nbd::kEInval;
  if ((request.flags & ~AllowedFlags(request.command, agreement)) != 0) return nbd::kEInval;
  if (request.command == nbd::kCmdFlush) {
    return offset == 0 && bytes == 0 ? nbd::kOk : nbd::kEInval;
  }
  if (Changes(request.command) && (info.flags & nbd::kReadOnly) != 0) return nbd::kEPerm;
  if (offset > info.bytes || bytes > info.bytes - offset) {
    return PastEndIsNoSpace(request.command) ? nbd::kENoSpc : nbd::kEInval;
  }
  if (offset % info.block_bytes != 0 || bytes % info.block_bytes != 0) return nbd::kEInval;
  if (request.command == nbd::kCmdBlockStatus && bytes == 0) return nbd::kEInval;
  // Whether a zero that has to keep its space is faster than a write is not known.
  constexpr uint16_t kSlow = nbd::kFlagFastZero | nbd::kFlagNoHole;
  if (request.command == nbd::kCmdWriteZeroes && (request.flags & kSlow) == kSlow) {
    return nbd::kENotSup;
  }
  return CheckPayload(request, agreement);
}

}  // namespace vmbuskit
