// How a SCSI command ended: statuses, sense, bytes moved; the shapes that targets use, and what they are as NTSTATUS.
// Source: protocol 10 sections 5.2 and 7.
//
//   return task.End(outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb));
//
// Thread safety: plain values. Units: bytes.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_SCSI_OUTCOME_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_SCSI_OUTCOME_H_

#include <cstdint>

#include "devices/storvsc/protocol.h"
#include "devices/storvsc/scsi.h"

namespace vmbuskit {

struct ScsiOutcome {
  uint8_t scsi_status = scsi::kGood;
  uint8_t srb_status = storvsc::kSrbSuccess;  // the code, without flags
  bool has_sense = false;
  scsi::Sense sense{};
  uint32_t transferred = 0;

  bool good() const { return srb_status == storvsc::kSrbSuccess; }
  friend bool operator==(const ScsiOutcome&, const ScsiOutcome&) = default;
};

namespace outcome {

constexpr ScsiOutcome Good(uint32_t transferred = 0) { return {.transferred = transferred}; }

constexpr ScsiOutcome Check(uint8_t srb_status, const scsi::Sense& sense) {
  return {.scsi_status = scsi::kCheckCondition,
          .srb_status = srb_status,
          .has_sense = true,
          .sense = sense};
}
constexpr ScsiOutcome CheckWithoutSense(uint8_t srb_status) {
  return {.scsi_status = scsi::kCheckCondition, .srb_status = srb_status};
}

constexpr ScsiOutcome IllegalRequest(uint8_t asc) {
  return Check(storvsc::kSrbInvalidRequest, {scsi::kIllegalRequest, asc, 0});
}
constexpr ScsiOutcome Overrun() {
  return Check(storvsc::kSrbDataOverrun, {scsi::kIllegalRequest, scsi_asc::kInvalidFieldInCdb, 0});
}
constexpr ScsiOutcome CapacityChanged() {
  return Check(storvsc::kSrbError,
               {scsi::kUnitAttention, scsi_asc::kParametersChanged, scsi_asc::kCapacityChanged});
}
constexpr ScsiOutcome WriteProtected() {
  return Check(storvsc::kSrbError, {scsi::kDataProtect, scsi_asc::kWriteProtected, 0});
}
constexpr ScsiOutcome NoSpace() {
  return Check(storvsc::kSrbError, {scsi::kDataProtect, 0x27, 0x07});
}
constexpr ScsiOutcome MediumError() {
  return Check(storvsc::kSrbError, {scsi::kMediumError, 0, 0});
}
constexpr ScsiOutcome ReadError() {
  return Check(storvsc::kSrbError, {scsi::kMediumError, 0x11, 0});
}
constexpr ScsiOutcome WriteError() {
  return Check(storvsc::kSrbError, {scsi::kMediumError, 0x03, 0});
}
constexpr ScsiOutcome OutOfRangeAtBackEnd() {
  return Check(storvsc::kSrbError, {scsi::kIllegalRequest, scsi_asc::kLbaOutOfRange, 0});
}
constexpr ScsiOutcome BackEndGone() {
  return Check(storvsc::kSrbError, {scsi::kHardwareError, 0x44, 0});
}
constexpr ScsiOutcome Miscompare() { return Check(storvsc::kSrbError, {0xE, 0x1D, 0}); }
constexpr ScsiOutcome Conflict() {
  return {.scsi_status = scsi::kReservationConflict, .srb_status = storvsc::kSrbError};
}
constexpr ScsiOutcome Aborted(uint8_t srb_status = storvsc::kSrbAborted) {
  ScsiOutcome aborted = Check(srb_status, {scsi::kAbortedCommand, 0, 0});
  aborted.scsi_status = scsi::kTaskAborted;
  return aborted;
}
constexpr ScsiOutcome NoLun() { return CheckWithoutSense(storvsc::kSrbInvalidLun); }

}  // namespace outcome

// `status` of a completion, for guests that look at nothing else.
constexpr uint32_t NtStatusOf(uint8_t srb_status) {
  switch (srb_status) {
    case storvsc::kSrbSuccess:
      return storvsc::kStatusSuccess;
    case storvsc::kSrbBusy:
      return storvsc::kStatusDeviceBusy;
    case storvsc::kSrbDataOverrun:
      return storvsc::kStatusDataOverrun;
    case storvsc::kSrbAborted:
      return storvsc::kStatusCancelled;
    case storvsc::kSrbInvalidLun:
    case storvsc::kSrbInvalidTargetId:
    case storvsc::kSrbNoDevice:
    case storvsc::kSrbNoHba:
      return storvsc::kStatusDeviceDoesNotExist;
    case storvsc::kSrbTimeout:
    case storvsc::kSrbCommandTimeout:
      return storvsc::kStatusIoTimeout;
    case storvsc::kSrbSelectionTimeout:
      return storvsc::kStatusDeviceNotConnected;
    case storvsc::kSrbBadFunction:
    case storvsc::kSrbBadSrbBlockLength:
      return storvsc::kStatusInvalidDeviceRequest;
    case storvsc::kSrbRequestFlushed:
      return storvsc::kStatusUnsuccessful;
    default:
      return storvsc::kStatusIoDeviceError;
  }
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_SCSI_OUTCOME_H_
