#include "devices/storvsc/scsi_result.h"

namespace vmbuskit {
namespace {

constexpr ScsiVerdict End(BlockResult result) { return {.result = result}; }
constexpr ScsiVerdict Retry(BlockResult at_last) {
  return {.action = ScsiAction::kRetry, .result = at_last};
}
constexpr ScsiVerdict Later(BlockResult at_last) {
  return {.action = ScsiAction::kRetryLater, .result = at_last};
}
constexpr ScsiVerdict LunGone() { return {.result = BlockResult::kGone, .lun_gone = true}; }

// Nobody is at that address (section 5.4): what else was answered counts for nothing. Whoever is told that his disk is
// gone needs another one: if it is there after all, the scan brings it anew.
constexpr bool IsAbsent(uint8_t srb_code) {
  switch (srb_code) {
    case storvsc::kSrbInvalidLun:
    case storvsc::kSrbInvalidTargetId:
    case storvsc::kSrbInvalidPathId:
    case storvsc::kSrbNoDevice:
    case storvsc::kSrbNoHba:
    case storvsc::kSrbSelectionTimeout:
      return true;
    default:
      return false;
  }
}

ScsiVerdict JudgeUnitAttention(const scsi::Sense& sense) {
  ScsiVerdict verdict = Retry(BlockResult::kAborted);
  verdict.rescan =
      (sense.asc == scsi_asc::kParametersChanged && sense.ascq == scsi_asc::kCapacityChanged) ||
      sense.asc == scsi_asc::kTargetChanged;
  return verdict;
}

ScsiVerdict JudgeIllegalRequest(const scsi::Sense& sense) {
  switch (sense.asc) {
    case scsi_asc::kLbaOutOfRange:
      return End(BlockResult::kOutOfRange);
    case scsi_asc::kInvalidOpcode:
    case scsi_asc::kInvalidFieldInCdb:  // such as an UNMAP that is not supported
      return End(BlockResult::kNotSupported);
    case scsi_asc::kLunNotSupported:
      return LunGone();
    default:
      return End(BlockResult::kInvalid);
  }
}

ScsiVerdict JudgeSense(const scsi::Sense& sense) {
  switch (sense.key) {
    case scsi::kRecoveredError:
      return End(BlockResult::kOk);
    case scsi::kNotReady:
      return sense.asc == scsi_asc::kBecomingReady ? Later(BlockResult::kTimedOut)
                                                   : End(BlockResult::kMediumError);
    case scsi::kIllegalRequest:
      return JudgeIllegalRequest(sense);
    case scsi::kUnitAttention:
      return JudgeUnitAttention(sense);
    case scsi::kDataProtect:
      return End(sense.asc == scsi_asc::kWriteProtected &&
                         sense.ascq == scsi_asc::kSpaceAllocationFailed
                     ? BlockResult::kNoSpace
                     : BlockResult::kReadOnly);
    case scsi::kAbortedCommand:
      return Retry(BlockResult::kAborted);
    default:
      return End(BlockResult::kMediumError);
  }
}

// nullopt: the status says nothing that the other fields do not.
std::optional<ScsiVerdict> JudgeScsiStatus(uint8_t status) {
  switch (status) {
    case scsi::kBusy:
    case scsi::kTaskSetFull:
      return Later(BlockResult::kTimedOut);
    case scsi::kReservationConflict:
      return End(BlockResult::kConflict);
    case scsi::kTaskAborted:  // by a reset, which may be one that was to help it
      return Retry(BlockResult::kAborted);
    default:
      return std::nullopt;
  }
}

ScsiVerdict JudgeSrbCode(uint8_t code) {
  switch (code) {
    case storvsc::kSrbBusy:
      return Later(BlockResult::kTimedOut);
    case storvsc::kSrbAborted:
    case storvsc::kSrbBusReset:
    case storvsc::kSrbRequestFlushed:
      return Retry(BlockResult::kAborted);
    case storvsc::kSrbTimeout:
    case storvsc::kSrbCommandTimeout:
      return End(BlockResult::kTimedOut);
    case storvsc::kSrbInvalidRequest:
    case storvsc::kSrbDataOverrun:
    case storvsc::kSrbBadSrbBlockLength:
      return End(BlockResult::kInvalid);
    case storvsc::kSrbBadFunction:
      return End(BlockResult::kNotSupported);
    default:
      // Without sense the host has done what could be done (section 5.4).
      return End(BlockResult::kMediumError);
  }
}

}  // namespace

std::optional<scsi::Sense> ParseSense(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return std::nullopt;
  const auto at = [&](size_t index) -> uint8_t { return index < bytes.size() ? bytes[index] : 0; };
  switch (bytes[0] & 0x7F) {
    case 0x70:
    case 0x71:
      if (bytes.size() < 3) return std::nullopt;
      return scsi::Sense{static_cast<uint8_t>(at(2) & 0x0F), at(12), at(13)};
    case 0x72:
    case 0x73:
      if (bytes.size() < 2) return std::nullopt;
      return scsi::Sense{static_cast<uint8_t>(at(1) & 0x0F), at(2), at(3)};
    default:
      return std::nullopt;
  }
}

ScsiVerdict JudgeScsi(const ScsiCommand& command) {
  return JudgeScsi(command.srb_status, command.scsi_status,
                   std::span(command.sense).first(command.sense_bytes));
}

ScsiVerdict JudgeScsi(uint8_t srb_status, uint8_t scsi_status, std::span<const uint8_t> sense) {
  if (srb_status == storvsc::kSrbSuccess && scsi_status == scsi::kGood) {
    return End(BlockResult::kOk);
  }
  const uint8_t code = srb_status & storvsc::kSrbCodeMask;
  if (IsAbsent(code)) return LunGone();
  if (const auto verdict = JudgeScsiStatus(scsi_status)) return *verdict;
  if (const auto parsed = ParseSense(sense); parsed && parsed->key != scsi::kNoSense) {
    return JudgeSense(*parsed);
  }
  return JudgeSrbCode(code);
}

}  // namespace vmbuskit
