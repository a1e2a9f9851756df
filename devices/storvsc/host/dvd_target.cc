#include "devices/storvsc/host/dvd_target.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "devices/storvsc/scsi.h"

namespace vmbuskit {
namespace {

constexpr uint8_t kNeedsMedium[] = {
    scsi::kTestUnitReady,
    scsi::kReadCapacity10,
    scsi::kRead10,
    scsi::kRead12,
    scsi::kRead16,
    scsi::kReadToc,
    scsi::kReadDiscInformation,
    scsi::kReadTrackInformation,
    scsi::kReadBufferCapacity,
    scsi::kGetPerformance,
    scsi::kReadDvdStructure,
    scsi::kSetStreaming,
};

template <size_t n>
bool EndWith(ScsiTask& task, const std::array<uint8_t, n>& answer, uint32_t allocation) {
  return dvd::End(task, std::as_bytes(std::span(answer)), allocation);
}

}  // namespace

DvdTarget::DvdTarget(std::shared_ptr<BlockDevice> device, Executor& executor)
    : device_(std::move(device)), queue_(device_->OpenQueue(executor)) {}

uint32_t DvdTarget::last_block() const {
  return static_cast<uint32_t>(std::min<uint64_t>(blocks() == 0 ? 0 : blocks() - 1, 0xFFFFFFFF));
}

ScsiOutcome DvdTarget::NoMedium() const {
  return outcome::Check(storvsc::kSrbError,
                        {scsi::kNotReady, 0x3A, static_cast<uint8_t>(tray_open_ ? 2 : 1)});
}

bool DvdTarget::Execute(ScsiTask& task) {
  task.target = this;
  const auto& cdb = task.cdb;
  if (!present_ && std::ranges::find(kNeedsMedium, cdb[0]) != std::end(kNeedsMedium)) {
    return task.End(NoMedium());
  }
  switch (cdb[0]) {
    case scsi::kTestUnitReady:
      return task.End(outcome::Good());
    case scsi::kRead10:
      return Read(task, scsi::ReadBig32(&cdb[2]), scsi::ReadBig16(&cdb[7]));
    case scsi::kRead12:
      return Read(task, scsi::ReadBig32(&cdb[2]), scsi::ReadBig32(&cdb[6]));
    case scsi::kRead16:
      return Read(task, scsi::ReadBig64(&cdb[2]), scsi::ReadBig32(&cdb[10]));
    case scsi::kRequestSense:
      return RequestSense(task);
    case scsi::kInquiry:
      return Inquire(task);
    case scsi::kStartStopUnit:
      return StartStop(task);
    case scsi::kPreventAllow:
      prevent_ = (cdb[4] & 1) != 0;
      persistent_ = (cdb[4] & 2) != 0;
      return task.End(outcome::Good());
    case scsi::kGetEventStatus:
      return GetEventStatus(task);
    case scsi::kModeSense10:
      return ModeSense(task);
    case scsi::kModeSelect10:
      return task.End(outcome::Good());
    default:
      return Inform(task);
  }
}

bool DvdTarget::Read(ScsiTask& task, uint64_t lba, uint64_t count) {
  if (count == 0) return task.End(outcome::Good());
  const uint64_t bytes = count * kBlockBytes;
  if (lba >= blocks() || count > blocks() - lba) {
    return task.End(dvd::Illegal(scsi_asc::kLbaOutOfRange));
  }
  if (bytes > task.data_bytes) return task.End(dvd::BadAllocation());
  if (task.direction == storvsc::kDataOut) {
    return task.End(dvd::Illegal(scsi_asc::kInvalidFieldInCdb));
  }
  ShortenData(task, bytes);
  task.operation = BlockOperation::kRead;
  task.force_unit_access = false;
  task.offset = lba * kBlockBytes;
  task.bytes = bytes;
  task.segments = task.data;
  task.moved = static_cast<uint32_t>(bytes);
  queue_->Submit(task);
  return false;
}

void DvdTarget::OnBlockDone(ScsiTask& task, BlockResult result) {
  task.outcome = result == BlockResult::kOk ? outcome::Good(task.moved)
                                            : outcome::CheckWithoutSense(storvsc::kSrbError);
  task.OnEnd();
}

// Nothing is latched here: whoever asks hears that there is nothing to hear.
bool DvdTarget::RequestSense(ScsiTask& task) {
  return EndWith(task, scsi::FixedSense({}), task.cdb[4]);
}

bool DvdTarget::Inquire(ScsiTask& task) {
  const uint16_t allocation = scsi::ReadBig16(&task.cdb[3]);
  const bool vital = (task.cdb[1] & 1) != 0;
  if (allocation > task.data_bytes || (vital && allocation < 4)) {
    return task.End(dvd::BadAllocation());
  }
  if (!vital) {
    if (task.cdb[2] != 0) return task.End(dvd::Illegal(scsi_asc::kInvalidFieldInCdb));
    std::array<std::byte, 104> page{};
    constexpr uint8_t kHead[] = {0x05, 0x80, 0x00, 0x02, 0x1F};
    std::memcpy(page.data(), kHead, sizeof kHead);
    std::memcpy(&page[8], "Msft    Virtual DVD-ROM 1.0 ", 28);
    return EndWithData(task, page, allocation);
  }
  if (task.cdb[2] == 0x00) {
    return EndWith(task, std::array<uint8_t, 6>{0x05, 0x00, 0x00, 0x02, 0x00, 0x83}, allocation);
  }
  if (task.cdb[2] != 0x83) return task.End(dvd::Illegal(scsi_asc::kInvalidFieldInCdb));
  constexpr std::array<uint8_t, 32> kIdentity = {0x05, 0x83, 0x00, 0x1C, 0x01, 0x01, 0x00, 0x18,
                                                 'M',  's',  'f',  't',  ' ',  ' ',  ' ',  ' ',
                                                 0x73, 0x05, 0xE3, 0x43, 0x77, 0x03, 0x54, 0x46,
                                                 0x94, 0x95, 0x7D, 0x7C, 0xED, 0x62, 0x4A, 0x7D};
  return EndWith(task, kIdentity, allocation);
}

bool DvdTarget::StartStop(ScsiTask& task) {
  const bool start = (task.cdb[4] & 1) != 0;
  const bool load_or_eject = (task.cdb[4] & 2) != 0;
  if (!load_or_eject) return task.End(outcome::Good());
  if (start) {
    tray_open_ = false;  // whether there is anything in it is another question
    return task.End(outcome::Good());
  }
  if (prevent_) {
    return task.End(outcome::Check(
        storvsc::kSrbError, {present_ ? scsi::kIllegalRequest : scsi::kNotReady, 0x53, 0x02}));
  }
  if (present_) event_ = MediaEvent::kRemoved;
  present_ = false;
  tray_open_ = true;
  new_follows_ = false;
  return task.End(outcome::Good());
}

// Event classes by their bits in the request.
bool DvdTarget::GetEventStatus(ScsiTask& task) {
  constexpr uint8_t kMedia = 0x10;
  const uint32_t allocation = scsi::ReadBig16(&task.cdb[7]);
  const uint8_t asked = task.cdb[4];
  if ((task.cdb[1] & 1) == 0) return task.End(dvd::Illegal(scsi_asc::kInvalidFieldInCdb));
  const uint8_t persistent = persistent_ ? 0x80 : 0;
  if ((asked & kMedia) != 0 && event_ != MediaEvent::kNone && allocation <= task.data_bytes) {
    const MediaEvent event = event_;
    event_ = std::exchange(new_follows_, false) ? MediaEvent::kNew : MediaEvent::kNone;
    present_ = event == MediaEvent::kNew;
    tray_open_ = !present_;
    const uint8_t status = media_status();
    return EndWith(task,
                   std::array<uint8_t, 8>{0, 6, 4, 0x7E, static_cast<uint8_t>(event), status, 0, 0},
                   allocation);
  }
  struct Class {
    uint8_t bit;
    std::array<uint8_t, 8> answer;
  };
  const Class classes[] = {{0x02, {0, 6, 1, 0x7E, 0, persistent, 0, 0}},
                           {0x04, {0, 6, 2, 0x7E, 0, 1, 0, 0}},
                           {0x08, {0, 6, 3, 0x7E, 0, persistent, 0, 0}},
                           {0x20, {0, 6, 5, 0x7E, 0, persistent, 0, 0}},
                           {kMedia, {0, 6, 4, 0x7E, 0, media_status(), 0, 0}},
                           {0x40, {0, 6, 6, 0x7E, 0, 0, 0, 0}}};
  for (const Class& one : classes) {
    if ((asked & one.bit) != 0) return EndWith(task, one.answer, allocation);
  }
  return EndWith(task, std::array<uint8_t, 4>{0, 2, 0, 0x7E}, allocation);
}

bool DvdTarget::ModeSense(ScsiTask& task) {
  constexpr std::array<uint8_t, 12> kErrorRecovery = {0x01, 0x0A};
  constexpr std::array<uint8_t, 12> kPower = {0x1A, 0x0A};
  constexpr std::array<uint8_t, 12> kTimeout = {0x1D, 0x0A, 0, 0, 0, 0, 0, 5, 0, 0x14, 0, 0x0A};
  constexpr uint8_t kAll = 0x3F;
  const uint8_t page = task.cdb[2] & 0x3F;
  if (task.cdb[2] >> 6 == 3) return task.End(dvd::Illegal(0x39));  // saved values
  std::array<uint8_t, 8 + 3 * 12> answer{};
  size_t bytes = 8;
  for (const auto& one : {kErrorRecovery, kPower, kTimeout}) {
    if (page != kAll && page != one[0]) continue;
    std::ranges::copy(one, answer.begin() + static_cast<ptrdiff_t>(bytes));
    bytes += one.size();
  }
  if (bytes == 8) return task.End(dvd::Illegal(scsi_asc::kInvalidFieldInCdb));
  answer[1] = static_cast<uint8_t>(bytes - 2);
  return dvd::End(task, std::as_bytes(std::span(answer)).first(bytes),
                  scsi::ReadBig16(&task.cdb[7]));
}

template <typename Archive>
void DvdTarget::Exchange(Archive& archive) {
  for (bool* flag : {&present_, &tray_open_, &prevent_, &persistent_, &new_follows_}) {
    archive(*flag);
  }
  archive.AtMost("media event", event_, static_cast<uint64_t>(MediaEvent::kRemoved));
}

template void DvdTarget::Exchange(StateWriter& archive);
template void DvdTarget::Exchange(StateReader& archive);

}  // namespace vmbuskit
