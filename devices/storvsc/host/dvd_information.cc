// What a DVD drive tells about its medium and itself.
#include <algorithm>
#include <array>
#include <initializer_list>

#include "devices/storvsc/host/dvd_target.h"
#include "devices/storvsc/scsi.h"

namespace vmbuskit {
namespace {

constexpr ScsiOutcome kInvalidField = dvd::Illegal(scsi_asc::kInvalidFieldInCdb);

// An answer that grows.
class Answer {
 public:
  void Add(std::initializer_list<uint8_t> values) {
    for (const uint8_t value : values) bytes_[size_++] = std::byte{value};
  }
  void Add32(uint32_t value) {
    scsi::WriteBig32(&bytes_[size_], value);
    size_ += 4;
  }
  void Zeros(size_t count) { size_ += count; }
  void Set32(size_t offset, uint32_t value) { scsi::WriteBig32(&bytes_[offset], value); }
  size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return std::span(bytes_).first(size_); }

 private:
  std::array<std::byte, 128> bytes_{};
  size_t size_ = 0;
};

void AddMsf(Answer& answer, uint32_t block) {
  const uint32_t frames = block + 150;
  answer.Add({0, static_cast<uint8_t>(std::min(frames / 75 / 60, 255u)),
              static_cast<uint8_t>(frames / 75 % 60), static_cast<uint8_t>(frames % 75)});
}

uint32_t Allocation(const ScsiTask& task) { return scsi::ReadBig16(&task.cdb[7]); }

}  // namespace

bool DvdTarget::Inform(ScsiTask& task) {
  switch (task.cdb[0]) {
    case scsi::kReadCapacity10:
      return ReadCapacity(task);
    case scsi::kReadToc:
      return ReadToc(task);
    case scsi::kGetConfiguration:
      return GetConfiguration(task);
    case scsi::kReadDiscInformation:
      return ReadDiscInformation(task);
    case scsi::kReadTrackInformation:
      return ReadTrackInformation(task);
    case scsi::kReadBufferCapacity: {
      Answer answer;
      answer.Add({0x00, 0x0A, 0x00, static_cast<uint8_t>(task.cdb[1] & 1)});
      answer.Zeros(8);
      return dvd::End(task, answer.bytes(), Allocation(task));
    }
    case scsi::kMechanismStatus: {
      Answer answer;
      answer.Add({0x00, static_cast<uint8_t>(tray_open_ ? 0x10 : 0x00)});
      answer.Zeros(6);
      return dvd::End(task, answer.bytes(), scsi::ReadBig16(&task.cdb[8]));
    }
    case scsi::kGetPerformance:
      return GetPerformance(task);
    case scsi::kReadDvdStructure:
      return ReadDvdStructure(task);
    case scsi::kSetStreaming:
      return SetStreaming(task);
    default:
      return task.End(dvd::Illegal(scsi_asc::kInvalidOpcode));
  }
}

bool DvdTarget::ReadCapacity(ScsiTask& task) {
  if (task.data_bytes < 8) return task.End(dvd::BadAllocation());
  Answer answer;
  answer.Add32(last_block());
  answer.Add32(kBlockBytes);
  return dvd::End(task, answer.bytes(), 8);
}

bool DvdTarget::ReadToc(ScsiTask& task) {
  const bool msf = (task.cdb[1] & 2) != 0;
  const uint8_t format = task.cdb[2] & 0xF;
  if (format > 1) return task.End(kInvalidField);
  Answer answer;
  auto add_track = [&](uint8_t number, uint32_t block) {
    answer.Add({0x00, 0x14, number, 0x00});
    if (msf) {
      AddMsf(answer, block);
    } else {
      answer.Add32(block);
    }
  };
  // The length of format 0 is the reference's; guests go by the tracks.
  if (format == 0) {
    answer.Add({0x08, 0x02, 0x01, 0x01});
  } else {
    answer.Add({0x00, 0x0A, 0x01, 0x01});
  }
  add_track(0x01, 0);
  if (format == 0) add_track(0xAA, last_block());
  return dvd::End(task, answer.bytes(), Allocation(task));
}

bool DvdTarget::GetConfiguration(ScsiTask& task) {
  const uint8_t type = task.cdb[1] & 3;
  const uint16_t start = scsi::ReadBig16(&task.cdb[2]);
  constexpr uint8_t kCurrent = 1;
  constexpr uint8_t kOne = 2;
  if (type > kOne) return task.End(dvd::BadValue());
  Answer answer;
  answer.Zeros(6);
  answer.Add({0x00, static_cast<uint8_t>(profile())});
  const uint8_t medium = present_ ? 1 : 0;
  // `always`: the feature is current without a medium.
  auto add = [&](uint16_t code, bool always, std::initializer_list<uint8_t> feature) {
    if (type == kOne ? code != start : code < start) return;
    if (type == kCurrent && (code == 0x1E || (!always && !present_))) return;
    answer.Add({static_cast<uint8_t>(code >> 8), static_cast<uint8_t>(code)});
    answer.Add(feature);
  };
  const auto with_medium = [&](uint8_t head) { return static_cast<uint8_t>(head + medium); };
  add(0x0000, true, {0x03, 0x08, 0x00, 0x10, medium, 0x00, 0x00, 0x08, 0x00, 0x00});
  add(0x0001, true, {0x0B, 0x08, 0, 0, 0, 0, 0, 0, 0, 0});
  add(0x0002, true, {0x0B, 0x04, 0x02, 0, 0, 0});
  add(0x0003, true, {0x07, 0x04, 0x39, 0, 0, 0});
  add(0x0010, false, {with_medium(0), 0x08, 0x00, 0x00, 0x08, 0x00, 0x00, 0x10, 0x01, 0x00});
  add(0x001E, false, {0x08, 0x04, 0, 0, 0, 0});
  add(0x001F, false, {with_medium(4), 0x04, 0, 0, 0, 0});
  add(0x0100, true, {0x03, 0x00});
  add(0x0105, true, {0x07, 0x04, 0x01, 0x00, 0x02, 0x00});
  add(0x0107, false, {with_medium(0x16), 0x04, 0x10, 0, 0, 0});
  answer.Set32(0, static_cast<uint32_t>(answer.size() - 4));
  return dvd::End(task, answer.bytes(), Allocation(task));
}

bool DvdTarget::ReadDiscInformation(ScsiTask& task) {
  if ((task.cdb[1] & 7) != 0) return task.End(kInvalidField);
  Answer answer;
  answer.Add({0x00, 0x20, 0x0E, 0x01, 0x01, 0x01, 0x01, 0x20});
  answer.Zeros(42 - answer.size());
  return dvd::End(task, answer.bytes(), Allocation(task));
}

bool DvdTarget::ReadTrackInformation(ScsiTask& task) {
  const uint8_t type = task.cdb[1] & 3;
  const bool open = (task.cdb[1] & 4) != 0;
  if (type == 0) return task.End(dvd::Illegal(scsi_asc::kLbaOutOfRange));
  if (type == 3) return task.End(dvd::BadValue());
  if (open || scsi::ReadBig32(&task.cdb[2]) != 1) return task.End(kInvalidField);
  Answer answer;
  answer.Add({0x00, 0x2E, 0x01, 0x01, 0x00, 0x04, 0x21, 0x00});
  answer.Zeros(16);
  answer.Add32(last_block());
  answer.Zeros(40 - answer.size());
  return dvd::End(task, answer.bytes(), Allocation(task));
}

bool DvdTarget::GetPerformance(ScsiTask& task) {
  const bool exceptions = (task.cdb[1] & 3) != 0;
  const bool write = (task.cdb[1] & 4) != 0;
  const uint8_t tolerance = task.cdb[1] >> 3 & 3;
  if (task.cdb[10] != 0) return task.End(kInvalidField);
  if (write || tolerance != 2) return task.End(dvd::BadValue());
  Answer answer;
  if (exceptions) {
    answer.Add32(0);
    answer.Add({1, 0, 0, 0});
  } else {
    constexpr uint32_t kKilobytesPerSecond = 32400;
    for (const uint32_t word :
         {16u, 0u, 0u, kKilobytesPerSecond, last_block(), kKilobytesPerSecond}) {
      answer.Add32(word);
    }
  }
  return EndWithData(task, answer.bytes(), task.data_bytes);
}

bool DvdTarget::ReadDvdStructure(ScsiTask& task) {
  const uint32_t allocation = scsi::ReadBig16(&task.cdb[8]);
  if ((task.cdb[1] & 0xF) != 0) return task.End(dvd::Illegal(0x30, 0x02));
  if (task.cdb[6] != 0) return task.End(dvd::BadValue());
  Answer answer;
  switch (task.cdb[7]) {
    case 0:
      answer.Add({0x08, 0x02, 0, 0, 0, 0x04, 0, 0, 0, 0x03, 0, 0});
      answer.Zeros(21 - answer.size());
      break;
    case 1:
      answer.Add({0x00, 0x06, 0, 0, 0, 0, 0});
      break;
    case 3:
      return task.End(dvd::BadValue());
    case 4:
      answer.Add({0x08, 0x02, 0, 0});
      break;
    default:
      return task.End(kInvalidField);
  }
  return dvd::End(task, answer.bytes(), allocation);
}

bool DvdTarget::SetStreaming(ScsiTask& task) {
  constexpr uint32_t kListBytes = 28;
  constexpr std::byte kRestoreDefaults{1 << 2};
  const uint32_t length = scsi::ReadBig16(&task.cdb[9]);
  std::array<std::byte, kListBytes> list;
  if (length < kListBytes || !CopyFromData(task, 0, list)) {
    return task.End(dvd::Illegal(scsi_asc::kParameterListLength));
  }
  const bool restores_defaults = (list[0] & kRestoreDefaults) != std::byte{0};
  if (!restores_defaults &&
      (scsi::ReadBig32(&list[4]) > last_block() || scsi::ReadBig32(&list[8]) > last_block())) {
    return task.End(dvd::BadValue());
  }
  return task.End(outcome::Good(std::min(length, task.data_bytes)));
}

}  // namespace vmbuskit
