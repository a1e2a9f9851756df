// Synthetic SCSI (storvsc and storvsp): GUIDs, versions, packets. Source: protocol 10 sections 1 to 6.
//
//   storvsc::PacketOf<storvsc::ScsiRequest> packet = {.header = {.operation = storvsc::kExecuteSrb}, .body = request};
//
// Everything here is little-endian; CDBs, sense and parameter data are big-endian and stand in scsi.h.
#ifndef VMBUSKIT_DEVICES_STORVSC_PROTOCOL_H_
#define VMBUSKIT_DEVICES_STORVSC_PROTOCOL_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "framework/base/guid.h"

namespace vmbuskit::storvsc {

inline constexpr Guid kScsiClassId = Guid::Parse("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f");
inline constexpr Guid kIdeClassId = Guid::Parse("32412632-86cb-44a2-9b5c-50d1417354f5");
inline constexpr Guid kFibreChannelClassId = Guid::Parse("2f9bcc4a-0069-4af3-b76b-6fd0be528cda");

enum Version : uint16_t {
  kVersion2_0 = 0x0200,  // Server 2008
  kVersion4_2 = 0x0402,  // 2008 R2: ENUMERATE_BUS
  kVersion5_1 = 0x0501,  // 2012: 64-byte packets, sub-channels
  kVersion6_0 = 0x0600,  // 2012 R2: EVENT_NOTIFICATION
  kVersion6_2 = 0x0602,  // 2016; 0x0601 is unknown (section 2: peers disagree)
};
inline constexpr std::array<uint16_t, 5> kVersions = {kVersion6_2, kVersion6_0, kVersion5_1,
                                                      kVersion4_2, kVersion2_0};  // newest first

enum Operation : uint32_t {
  kCompleteIo = 1,
  kRemoveDevice = 2,  // unsolicited
  kExecuteSrb = 3,
  kResetLun = 4,
  kResetAdapter = 5,
  kResetBus = 6,
  kBeginInitialization = 7,
  kEndInitialization = 8,
  kQueryProtocolVersion = 9,
  kQueryProperties = 10,
  kEnumerateBus = 11,  // unsolicited
  kFcHbaData = 12,
  kCreateSubchannels = 13,
  kEventNotification = 14,  // unsolicited, 6.0 and later
};

inline constexpr uint32_t kFlagRequestCompletion = 1;

// NTSTATUS of a packet.
inline constexpr uint32_t kStatusSuccess = 0;
inline constexpr uint32_t kStatusDataOverrun = 0x80000005;
inline constexpr uint32_t kStatusDeviceBusy = 0x80000011;
inline constexpr uint32_t kStatusUnsuccessful = 0xC0000001;
inline constexpr uint32_t kStatusInvalidParameter = 0xC000000D;
inline constexpr uint32_t kStatusInvalidDeviceRequest = 0xC0000010;
inline constexpr uint32_t kStatusRevisionMismatch = 0xC0000059;
inline constexpr uint32_t kStatusDeviceNotConnected = 0xC000009D;
inline constexpr uint32_t kStatusIoTimeout = 0xC00000B5;
inline constexpr uint32_t kStatusDeviceDoesNotExist = 0xC00000C0;
inline constexpr uint32_t kStatusCancelled = 0xC0000120;
inline constexpr uint32_t kStatusInvalidDeviceState = 0xC0000184;
inline constexpr uint32_t kStatusIoDeviceError = 0xC0000185;

// srb_status: code, and two flags on top.
enum SrbStatus : uint8_t {
  kSrbPending = 0x00,
  kSrbSuccess = 0x01,
  kSrbAborted = 0x02,
  kSrbAbortFailed = 0x03,
  kSrbError = 0x04,
  kSrbBusy = 0x05,
  kSrbInvalidRequest = 0x06,
  kSrbInvalidPathId = 0x07,
  kSrbNoDevice = 0x08,
  kSrbTimeout = 0x09,
  kSrbSelectionTimeout = 0x0A,
  kSrbCommandTimeout = 0x0B,
  kSrbMessageRejected = 0x0D,
  kSrbBusReset = 0x0E,
  kSrbParityError = 0x0F,
  kSrbRequestSenseFailed = 0x10,
  kSrbNoHba = 0x11,
  kSrbDataOverrun = 0x12,
  kSrbUnexpectedBusFree = 0x13,
  kSrbPhaseSequenceFailure = 0x14,
  kSrbBadSrbBlockLength = 0x15,
  kSrbRequestFlushed = 0x16,
  kSrbInvalidLun = 0x20,
  kSrbInvalidTargetId = 0x21,
  kSrbBadFunction = 0x22,
  kSrbErrorRecovery = 0x23,
  kSrbNotPowered = 0x24,
  kSrbLinkDown = 0x25,
  kSrbInternalError = 0x30,
};
inline constexpr uint8_t kSrbCodeMask = 0x3F;
inline constexpr uint8_t kSrbQueueFrozen = 0x40;
inline constexpr uint8_t kSrbAutosenseValid = 0x80;

enum DataDirection : uint8_t { kDataOut = 0, kDataIn = 1, kNoData = 2 };

inline constexpr uint32_t kSrbFlagQueueActionEnable = 0x2;
inline constexpr uint32_t kSrbFlagDisableSynchTransfer = 0x8;
inline constexpr uint32_t kSrbFlagDisableAutosense = 0x20;
inline constexpr uint32_t kSrbFlagDataIn = 0x40;
inline constexpr uint32_t kSrbFlagDataOut = 0x80;
inline constexpr uint32_t kSrbFlagNoQueueFreeze = 0x100;

inline constexpr size_t kMaxCdbBytes = 16;
inline constexpr size_t kMaxSenseBytes = 20;  // 18 before 5.1
inline constexpr size_t kOldMaxSenseBytes = 18;
inline constexpr uint8_t kUntagged = 0xFF;
inline constexpr uint8_t kSimpleQueueTag = 0x20;

#pragma pack(push, 1)
struct ScsiRequest {
  uint16_t length;  // 0x34; 0x24 before 5.1
  uint8_t srb_status;
  uint8_t scsi_status;
  uint8_t port_number;
  uint8_t path_id;
  uint8_t target_id;
  uint8_t lun;
  uint8_t cdb_length;
  uint8_t sense_info_length;
  uint8_t data_in;  // DataDirection
  uint8_t reserved;
  uint32_t data_transfer_length;
  // The CDB on the way to the host (16 bytes), sense data (20) on the way back.
  std::array<uint8_t, kMaxSenseBytes> cdb_or_sense;
  // From here on the Windows 8 extension, 5.1 and later.
  uint16_t extension_reserved;
  uint8_t queue_tag;
  uint8_t queue_action;
  uint32_t srb_flags;
  uint32_t time_out_value;  // seconds
  uint32_t queue_sort_key;
};
static_assert(sizeof(ScsiRequest) == 52);
static_assert(offsetof(ScsiRequest, data_transfer_length) == 12);
static_assert(offsetof(ScsiRequest, cdb_or_sense) == 16);
static_assert(offsetof(ScsiRequest, extension_reserved) == 36);
static_assert(offsetof(ScsiRequest, srb_flags) == 40);

struct ProtocolVersion {
  uint16_t major_minor;
  uint16_t revision;
};

struct ChannelProperties {
  uint32_t reserved0;
  uint16_t max_channel_count;  // sub-channels; parse only from 5.1 on, with the flag
  uint16_t reserved1;
  uint32_t flags;
  uint32_t max_transfer_bytes;
  uint64_t reserved2;
};
static_assert(sizeof(ChannelProperties) == 24);
inline constexpr uint32_t kPropertyMultiChannel = 1;

struct FcHbaData {
  uint8_t primary_active;
  std::array<uint8_t, 3> reserved;
  std::array<uint8_t, 8> primary_port;  // WWNs, big-endian
  std::array<uint8_t, 8> primary_node;
  std::array<uint8_t, 8> secondary_port;
  std::array<uint8_t, 8> secondary_node;
};
static_assert(sizeof(FcHbaData) == 36);

struct SubchannelCount {
  uint16_t count;
};

struct EventNotification {
  uint8_t lun;
  uint8_t target;
  uint8_t path;
  uint8_t flags;
};

struct PacketHeader {
  uint32_t operation;
  uint32_t flags;
  uint32_t status;
};
static_assert(sizeof(PacketHeader) == 12);

// A whole packet; before 5.1 only the first 48 bytes are on the wire. Aligned, so that its 32-bit fields are.
template <typename Body>
struct alignas(4) PacketOf {
  PacketHeader header;
  Body body;
  std::array<std::byte, 52 - sizeof(Body)> zeros;
};
template <>
struct alignas(4) PacketOf<ScsiRequest> {
  PacketHeader header;
  ScsiRequest body;
};
struct NoBody {
  std::array<std::byte, 4> zeros;
};
#pragma pack(pop)
static_assert(sizeof(PacketOf<ScsiRequest>) == 64);
static_assert(sizeof(PacketOf<ChannelProperties>) == 64);
static_assert(sizeof(PacketOf<NoBody>) == 64);

inline constexpr size_t kPacketBytes = 64;
inline constexpr size_t kOldPacketBytes = 48;  // before 5.1
inline constexpr uint16_t kRequestLength = 0x34;
inline constexpr uint16_t kOldRequestLength = 0x24;

constexpr size_t PacketBytes(uint16_t version) {
  return version >= kVersion5_1 ? kPacketBytes : kOldPacketBytes;
}

// The offer's user-defined area of an IDE channel (section 1).
#pragma pack(push, 1)
struct OfferData {
  uint16_t reserved0;
  uint8_t path_id;
  uint8_t target_id;
  uint32_t reserved1;
  uint32_t flags;
  std::array<uint32_t, 3> reserved2;
};
#pragma pack(pop)
static_assert(sizeof(OfferData) == 24);
inline constexpr uint32_t kOfferEmulatedIde = 2;

}  // namespace vmbuskit::storvsc

#endif  // VMBUSKIT_DEVICES_STORVSC_PROTOCOL_H_
