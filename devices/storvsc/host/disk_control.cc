// Everything that asks or tells a disk something besides moving data.
#include <bit>

#include "devices/storvsc/host/disk_target.h"

namespace vmbuskit {
namespace {

constexpr ScsiOutcome kInvalidField = outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb);

constexpr uint8_t kAllPages = 0x3F;
constexpr uint8_t kCachingPageLength = 0x0A;  // without its own two bytes
constexpr uint32_t kShortHeader = 4;
constexpr uint32_t kLongHeader = 8;
constexpr uint32_t kModeBytesMax = kLongHeader + 2 + kCachingPageLength;

}  // namespace

bool DiskTarget::Inquire(ScsiTask& task) {
  identity_.blocks = blocks();
  return EndInquiry(identity_, task);
}

bool DiskTarget::RequestSense(ScsiTask& task) {
  // SPC has the allocation in byte 4; the reference's host reads bytes 3 and 4, of which 3 is reserved.
  const uint16_t allocation = scsi::ReadBig16(&task.cdb[3]);
  if (allocation < 8 || allocation > task.data_bytes) return task.End(kInvalidField);
  const auto sense = scsi::FixedSense(latched_);
  return EndWithData(task, std::as_bytes(std::span(sense)), allocation);
}

bool DiskTarget::ReadCapacity10(ScsiTask& task) {
  std::array<std::byte, 8> answer;
  if (task.data_bytes < answer.size()) return task.End(outcome::Overrun());
  scsi::WriteBig32(answer.data(),
                   static_cast<uint32_t>(std::min<uint64_t>(last_block(), 0xFFFFFFFF)));
  scsi::WriteBig32(answer.data() + 4, uint32_t{1} << block_shift_);
  return EndWithData(task, answer, answer.size());
}

bool DiskTarget::ReadCapacity16(ScsiTask& task) {
  constexpr uint32_t kLeast = 12;
  if (task.data_bytes < kLeast) return task.End(outcome::Overrun());
  std::array<std::byte, 32> answer{};
  scsi::WriteBig64(answer.data(), last_block());
  scsi::WriteBig32(answer.data() + 8, uint32_t{1} << block_shift_);
  answer[13] = static_cast<std::byte>(physical_shift_ - block_shift_);
  if (unmap_) answer[14] = std::byte{0x80};  // LBPME
  return EndWithData(task, answer, task.data_bytes);
}

bool DiskTarget::ServiceActionIn(ScsiTask& task) {
  switch (task.cdb[1] & 0x1F) {
    case scsi::kReadCapacity16Action:
      return ReadCapacity16(task);
    case scsi::kGetLbaStatusAction:
      return GetLbaStatus(task);
    default:
      return task.End(kInvalidField);
  }
}

bool DiskTarget::ModeSense(ScsiTask& task, bool long_form) {
  const uint32_t header = long_form ? kLongHeader : kShortHeader;
  const uint32_t allocation = long_form ? scsi::ReadBig16(&task.cdb[7]) : task.cdb[4];
  const uint8_t control = task.cdb[2] >> 6;
  const uint8_t page = task.cdb[2] & 0x3F;
  constexpr uint8_t kChangeable = 1;
  constexpr uint8_t kSaved = 3;
  if (task.data_bytes == 0 || allocation == 0) return task.End(outcome::Good());
  if (allocation > task.data_bytes || allocation < header || control == kSaved ||
      (page != scsi::kCachingPage && page != kAllPages)) {
    return task.End(kInvalidField);
  }
  std::array<std::byte, kModeBytesMax> answer{};
  const uint32_t bytes = header + 2 + kCachingPageLength;
  const auto device_specific = static_cast<std::byte>(scsi::kModeForceUnitAccess |
                                                      (read_only_ ? scsi::kModeWriteProtected : 0));
  if (long_form) {
    scsi::WriteBig16(answer.data(), static_cast<uint16_t>(bytes - 2));
    answer[3] = device_specific;
  } else {
    answer[0] = static_cast<std::byte>(bytes - 1);
    answer[2] = device_specific;
  }
  answer[header] = std::byte{scsi::kCachingPage};
  answer[header + 1] = std::byte{kCachingPageLength};
  if (write_cache_ && control != kChangeable)
    answer[header + 2] = std::byte{scsi::kWriteCacheEnabled};
  return EndWithData(task, std::span(answer).first(bytes), allocation);
}

bool DiskTarget::ModeSelect(ScsiTask& task, bool long_form) {
  const uint32_t header = long_form ? kLongHeader : kShortHeader;
  const uint32_t length = long_form ? scsi::ReadBig16(&task.cdb[7]) : task.cdb[4];
  const auto bad_length = outcome::IllegalRequest(scsi_asc::kParameterListLength);
  const auto bad_parameter = outcome::IllegalRequest(scsi_asc::kInvalidFieldInParameterList);
  if (length == 0) return task.End(outcome::Good());
  const uint32_t least = header + 2 + kCachingPageLength;
  std::array<std::byte, kLongHeader> head;
  if (length != task.data_bytes || length < least ||
      !CopyFromData(task, 0, std::span(head).first(header))) {
    return task.End(bad_length);
  }
  const uint32_t descriptors =
      long_form ? scsi::ReadBig16(&head[6]) : std::to_integer<uint32_t>(head[3]);
  std::array<std::byte, 3> page;
  if (length < least + descriptors || !CopyFromData(task, header + descriptors, page)) {
    return task.End(bad_length);
  }
  if ((task.cdb[1] & 1) != 0) return task.End(kInvalidField);  // SP: nothing is saved here
  const bool enable = (page[2] & std::byte{scsi::kWriteCacheEnabled}) != std::byte{0};
  if ((page[0] & std::byte{0x3F}) != std::byte{scsi::kCachingPage} ||
      page[1] != std::byte{kCachingPageLength} || enable != write_cache_) {
    return task.End(bad_parameter);
  }
  return task.End(outcome::Good(length));
}

bool DiskTarget::StartStop(ScsiTask& task) {
  constexpr uint8_t kImmediate = 1;
  constexpr uint8_t kStart = 1;
  if ((task.cdb[1] & kImmediate) != 0) return task.End(kInvalidField);
  if ((task.cdb[4] & kStart) != 0) return task.End(outcome::Good());
  return Flush(task);
}

bool DiskTarget::SendDiagnostic(ScsiTask& task) {
  constexpr uint8_t kTestCodeAndFormat = 0xF0;  // self-test code, PF
  const bool plain = (task.cdb[1] & kTestCodeAndFormat) == 0 && scsi::ReadBig16(&task.cdb[3]) == 0;
  return task.End(plain ? outcome::Good() : kInvalidField);
}

}  // namespace vmbuskit
