#include "devices/storvsc/host/inquiry.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "devices/storvsc/scsi.h"

namespace vmbuskit {
namespace {

// A page under construction: big-endian fields at offsets.
class Page {
 public:
  explicit Page(std::span<std::byte, kInquiryBytesMax> bytes) : bytes_(bytes) {
    std::ranges::fill(bytes_, std::byte{0});
  }
  void Set(size_t offset, std::initializer_list<uint8_t> values) {
    for (const uint8_t value : values) bytes_[offset++] = std::byte{value};
  }
  void SetText(size_t offset, std::string_view text, size_t width) {
    std::memcpy(bytes_.data() + offset, text.data(), std::min(text.size(), width));
  }
  void Set16(size_t offset, uint16_t value) { scsi::WriteBig16(bytes_.data() + offset, value); }
  void Set32(size_t offset, uint32_t value) { scsi::WriteBig32(bytes_.data() + offset, value); }
  void Set64(size_t offset, uint64_t value) { scsi::WriteBig64(bytes_.data() + offset, value); }
  // The head of a vital page with `length` bytes after it; the whole size.
  size_t Head(uint8_t code, uint8_t length) {
    Set(0, {0, code, 0, length});
    return size_t{4} + length;
  }

 private:
  std::span<std::byte, kInquiryBytesMax> bytes_;
};

void SetStrings(Page& page, const DiskIdentity& identity) {
  page.SetText(8, identity.vendor, 8);
  page.SetText(16, identity.product, 16);
  page.SetText(32, identity.revision, 4);
}

size_t SupportedPages(const DiskIdentity& identity, Page& page) {
  size_t count = 0;
  auto add = [&](uint8_t code) { page.Set(4 + count++, {code}); };
  add(0x00);
  if (!identity.serial.empty()) add(scsi::kVpdSerial);
  add(scsi::kVpdId);
  if (identity.unmap) {
    for (const uint8_t code : {scsi::kVpdLimits, scsi::kVpdRotation, scsi::kVpdProvisioning})
      add(code);
  }
  add(0xCE);
  add(0xCF);
  return page.Head(0x00, static_cast<uint8_t>(count));
}

size_t Identification(const DiskIdentity& identity, Page& page) {
  const ScsiDiskId& id = identity.id;
  page.Set(4, {0x01, 0x01, 0x00, 0x18});
  page.SetText(8, identity.vendor, 8);
  page.SetText(16, {reinterpret_cast<const char*>(id.data()), id.size()}, id.size());
  page.Set(32, {0x01, 0x03, 0x00, 0x10, 0x60, 0x02, 0x24, 0x80});
  page.SetText(40, {reinterpret_cast<const char*>(id.data()), 6}, 6);
  page.SetText(46, {reinterpret_cast<const char*>(id.data()) + 10, 6}, 6);
  return page.Head(scsi::kVpdId, 0x30);
}

size_t BlockLimits(const DiskIdentity& identity, Page& page) {
  page.Set32(20, 0xFFFFFFFF);  // blocks of one UNMAP
  page.Set32(24, 4096);        // descriptors of one UNMAP
  page.Set32(28, std::max(identity.unmap_granularity_blocks, 1u));
  page.Set32(32, 0x80000000);  // the alignment, 0, is valid
  page.Set64(36, identity.write_same_blocks_max);
  return page.Head(scsi::kVpdLimits, 0x3C);
}

size_t Provisioning(const DiskIdentity& identity, Page& page) {
  const uint64_t high = identity.blocks >> 32;
  const int exponent = high <= 1 ? 0 : std::bit_width(high - 1);
  page.Set(4, {static_cast<uint8_t>(std::max(exponent, 1)), 0x80, 0x02, 0x00});
  return page.Head(scsi::kVpdProvisioning, 4);
}

size_t MicrosoftSignature(Page& page) {
  page.Set(4, {0x01, 0x00, 0x00, 0x00, 0x15, 0x8F, 0xA9, 0x89, 0x28, 0xC9,
               0x8B, 0x4D, 0x94, 0xCD, 0xEF, 0x51, 0xFA, 0xA9, 0x9D, 0x33});
  return page.Head(0xCF, 0x14);
}

}  // namespace

ScsiDiskId DiskIdOf(std::string_view text) {
  ScsiDiskId id;
  for (uint64_t half = 0; half < 2; ++half) {
    uint64_t hash = 0xCBF29CE484222325 + half;  // FNV-1a
    for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3;
    hash ^= hash >> 29;
    std::memcpy(id.data() + half * 8, &hash, 8);
  }
  return id;
}

size_t BuildStandardInquiry(const DiskIdentity& identity,
                            std::span<std::byte, kInquiryBytesMax> bytes) {
  Page page(bytes);
  page.Set(0, {0x00, 0x00, 0x05, 0x02, kStandardInquiryBytes - 5, 0x00, 0x00, 0x02});
  SetStrings(page, identity);
  return kStandardInquiryBytes;
}

size_t BuildVitalPage(const DiskIdentity& identity, uint8_t page_code,
                      std::span<std::byte, kInquiryBytesMax> bytes) {
  Page page(bytes);
  switch (page_code) {
    case 0x00:
      return SupportedPages(identity, page);
    case scsi::kVpdSerial: {
      if (identity.serial.empty()) return 0;
      const size_t length = std::min<size_t>(identity.serial.size(), kInquiryBytesMax - 5);
      page.SetText(4, identity.serial, length);
      return page.Head(scsi::kVpdSerial, static_cast<uint8_t>(length));
    }
    case scsi::kVpdId:
      return Identification(identity, page);
    case scsi::kVpdLimits:
      return identity.unmap ? BlockLimits(identity, page) : 0;
    case scsi::kVpdRotation:
      if (!identity.unmap) return 0;
      page.Set16(4, identity.rotation_rate);
      return page.Head(scsi::kVpdRotation, 0x3C);
    case scsi::kVpdProvisioning:
      return identity.unmap ? Provisioning(identity, page) : 0;
    case 0xCE:
      page.Set(4, {0x01, 0x01, 0x00, 0x00});
      return page.Head(0xCE, 4);
    case 0xCF:
      return MicrosoftSignature(page);
    default:
      return 0;
  }
}

bool EndInquiry(const DiskIdentity& identity, ScsiTask& task) {
  const bool vital = (task.cdb[1] & 1) != 0;
  const bool command_support = (task.cdb[1] & 2) != 0;
  const uint16_t allocation = scsi::ReadBig16(&task.cdb[3]);
  const auto refused = outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb);
  if (allocation > task.data_bytes || command_support || (!vital && task.cdb[2] != 0) ||
      allocation < (vital ? 4 : 5)) {
    return task.End(refused);
  }
  std::array<std::byte, kInquiryBytesMax> page;
  const size_t bytes =
      vital ? BuildVitalPage(identity, task.cdb[2], page) : BuildStandardInquiry(identity, page);
  if (bytes == 0) return task.End(refused);
  return EndWithData(task, std::span(page).first(bytes), allocation);
}

bool EndAbsentInquiry(uint8_t lun, ScsiTask& task) {
  const uint16_t allocation = scsi::ReadBig16(&task.cdb[3]);
  if (task.direction != storvsc::kDataIn || allocation < 5 || allocation > task.data_bytes ||
      (task.cdb[1] & 1) != 0 || task.cdb[2] != 0) {
    return task.End(outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb));
  }
  std::array<std::byte, kInquiryBytesMax> bytes;
  Page page(bytes);
  page.Set(0, {0x7F, 0x00, 0x05, 0x02, kStandardInquiryBytes - 5});
  if (lun == 0) SetStrings(page, DiskIdentity{});
  return EndWithData(task, std::span(bytes).first(kStandardInquiryBytes), allocation);
}

}  // namespace vmbuskit
