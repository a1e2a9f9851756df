// SCSI as both sides speak it: operation codes, status, sense keys, big-endian fields. Source: protocol 10 section 7;
// SPC and SBC by way of it.
//
//   const uint64_t lba = scsi::ReadBig64(cdb.data() + 2);
//
// Thread safety: pure functions.
#ifndef VMBUSKIT_DEVICES_STORVSC_SCSI_H_
#define VMBUSKIT_DEVICES_STORVSC_SCSI_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace vmbuskit::scsi {

enum Opcode : uint8_t {
  kTestUnitReady = 0x00,
  kRequestSense = 0x03,
  kFormatUnit = 0x04,
  kRead6 = 0x08,
  kWrite6 = 0x0A,
  kInquiry = 0x12,
  kModeSelect6 = 0x15,
  kReserve6 = 0x16,
  kRelease6 = 0x17,
  kModeSense6 = 0x1A,
  kStartStopUnit = 0x1B,
  kSendDiagnostic = 0x1D,
  kPreventAllow = 0x1E,
  kReadCapacity10 = 0x25,
  kRead10 = 0x28,
  kWrite10 = 0x2A,
  kWriteAndVerify10 = 0x2E,
  kVerify10 = 0x2F,
  kSynchronizeCache10 = 0x35,
  kWriteSame10 = 0x41,
  kUnmap = 0x42,
  kReadToc = 0x43,
  kGetConfiguration = 0x46,
  kGetEventStatus = 0x4A,
  kReadDiscInformation = 0x51,
  kReadTrackInformation = 0x52,
  kModeSelect10 = 0x55,
  kModeSense10 = 0x5A,
  kReadBufferCapacity = 0x5C,
  kPersistentReserveIn = 0x5E,
  kPersistentReserveOut = 0x5F,
  kAta16 = 0x85,
  kRead16 = 0x88,
  kWrite16 = 0x8A,
  kWriteAndVerify16 = 0x8E,
  kVerify16 = 0x8F,
  kSynchronizeCache16 = 0x91,
  kWriteSame16 = 0x93,
  kServiceActionIn16 = 0x9E,
  kReportLuns = 0xA0,
  kAta12 = 0xA1,
  kMaintenanceIn = 0xA3,
  kRead12 = 0xA8,
  kWrite12 = 0xAA,
  kGetPerformance = 0xAC,
  kReadDvdStructure = 0xAD,
  kWriteAndVerify12 = 0xAE,
  kVerify12 = 0xAF,
  kSetStreaming = 0xB6,
  kMechanismStatus = 0xBD,
};
inline constexpr uint8_t kForceUnitAccess = 0x08;  // byte 1 of READ and WRITE of ten bytes and more
inline constexpr uint8_t kWriteSameUnmap = 0x08;   // byte 1 of WRITE SAME
inline constexpr uint8_t kReadCapacity16Action = 0x10;  // of kServiceActionIn16
inline constexpr uint8_t kGetLbaStatusAction = 0x12;

// Pages of vital product data, which INQUIRY asks for.
enum VpdPage : uint8_t {
  kVpdPages = 0x00,  // which there are
  kVpdSerial = 0x80,
  kVpdId = 0x83,
  kVpdLimits = 0xB0,
  kVpdRotation = 0xB1,
  kVpdProvisioning = 0xB2,
};
// Of MODE SENSE.
inline constexpr uint8_t kCachingPage = 0x08;
inline constexpr uint8_t kWriteCacheEnabled = 0x04;    // in byte 2 of the page
inline constexpr uint8_t kModeWriteProtected = 0x80;   // in the device-specific parameter
inline constexpr uint8_t kModeForceUnitAccess = 0x10;  // the same: DPOFUA

enum Status : uint8_t {
  kGood = 0x00,
  kCheckCondition = 0x02,
  kBusy = 0x08,
  kReservationConflict = 0x18,
  kTaskSetFull = 0x28,
  kTaskAborted = 0x40,
};

enum SenseKey : uint8_t {
  kNoSense = 0x0,
  kRecoveredError = 0x1,
  kNotReady = 0x2,
  kMediumError = 0x3,
  kHardwareError = 0x4,
  kIllegalRequest = 0x5,
  kUnitAttention = 0x6,
  kDataProtect = 0x7,
  kAbortedCommand = 0xB,
};

// Key, additional sense code and its qualifier.
struct Sense {
  uint8_t key = 0;
  uint8_t asc = 0;
  uint8_t ascq = 0;
  friend bool operator==(const Sense&, const Sense&) = default;
};

inline constexpr size_t kFixedSenseBytes = 18;

// Fixed format, as section 7 has it.
constexpr std::array<uint8_t, kFixedSenseBytes> FixedSense(const Sense& sense) {
  std::array<uint8_t, kFixedSenseBytes> bytes{};
  bytes[0] = 0x70;
  bytes[2] = sense.key;
  bytes[7] = 0x0A;
  bytes[12] = sense.asc;
  bytes[13] = sense.ascq;
  return bytes;
}

namespace internal {
template <typename T>
T Swapped(T value) {
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}
template <typename T>
T ReadBig(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return Swapped(value);
}
template <typename T>
void WriteBig(void* to, T value) {
  value = Swapped(value);
  std::memcpy(to, &value, sizeof value);
}
}  // namespace internal

inline uint16_t ReadBig16(const void* from) { return internal::ReadBig<uint16_t>(from); }
inline uint32_t ReadBig32(const void* from) { return internal::ReadBig<uint32_t>(from); }
inline uint64_t ReadBig64(const void* from) { return internal::ReadBig<uint64_t>(from); }
inline void WriteBig16(void* to, uint16_t value) { internal::WriteBig(to, value); }
inline void WriteBig32(void* to, uint32_t value) { internal::WriteBig(to, value); }
inline void WriteBig64(void* to, uint64_t value) { internal::WriteBig(to, value); }

}  // namespace vmbuskit::scsi

// Additional sense codes; the qualifiers that mean something here after their code.
namespace vmbuskit::scsi_asc {
inline constexpr uint8_t kNone = 0x00;
inline constexpr uint8_t kBecomingReady = 0x04;  // or kept from it by a format and the like
inline constexpr uint8_t kParameterListLength = 0x1A;
inline constexpr uint8_t kInvalidOpcode = 0x20;
inline constexpr uint8_t kLbaOutOfRange = 0x21;
inline constexpr uint8_t kInvalidFieldInCdb = 0x24;
inline constexpr uint8_t kLunNotSupported = 0x25;
inline constexpr uint8_t kInvalidFieldInParameterList = 0x26;
inline constexpr uint8_t kWriteProtected = 0x27;
inline constexpr uint8_t kSpaceAllocationFailed = 0x07;  // the qualifier, of a thin disk
inline constexpr uint8_t kParametersChanged = 0x2A;
inline constexpr uint8_t kCapacityChanged = 0x09;  // the qualifier
inline constexpr uint8_t kMediumNotPresent = 0x3A;
inline constexpr uint8_t kTargetChanged = 0x3F;  // which LUNs there are, or what they are
}  // namespace vmbuskit::scsi_asc

#endif  // VMBUSKIT_DEVICES_STORVSC_SCSI_H_
