// The hypervisor's binary interface: CPUID leaves, synthetic registers, hypercalls, SynIC pages,
// reference time, timers and monitor pages. Constants, wire structures and pure helpers only; used
// by guest and host side alike. Source: protocol 01 (all), 02 section 9.2.
//
//   partition.WriteRegister(vp, kRegSimp, PageRegister(simp_gpa));
//   uint64_t result = partition.Hypercall(vp, SimpleCall(kCallPostMessage), input_gpa, 0);
//   if (ResultStatus(result) == HypercallStatus::kInsufficientBuffers) ...
//
// Units: bytes, 100 ns ticks of reference time, Hz. All structures are little-endian and packed as
// listed. Thread safety: plain values; fields that both sides touch at once are accessed through
// std::atomic_ref.
#ifndef VMBUSKIT_TRANSPORTS_PROTOCOL_HYPERVISOR_H_
#define VMBUSKIT_TRANSPORTS_PROTOCOL_HYPERVISOR_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace vmbuskit {

static_assert(std::endian::native == std::endian::little, "every wire field is little-endian");

// ---- CPUID (section 1.1) ------------------------------------------------------------------------

inline constexpr uint32_t kCpuidLeafProcessor = 0x00000001;
inline constexpr uint32_t kCpuidLeafVendor = 0x40000000;
inline constexpr uint32_t kCpuidLeafInterface = 0x40000001;
inline constexpr uint32_t kCpuidLeafVersion = 0x40000002;
inline constexpr uint32_t kCpuidLeafFeatures = 0x40000003;
inline constexpr uint32_t kCpuidLeafHints = 0x40000004;
inline constexpr uint32_t kCpuidLeafLimits = 0x40000005;
inline constexpr uint32_t kCpuidLeafIsolation = 0x4000000C;
inline constexpr uint32_t kCpuidLeafStackVendor = 0x40000080;
inline constexpr uint32_t kCpuidLeafStackInterface = 0x40000081;
inline constexpr uint32_t kCpuidLeafStackFeatures = 0x40000082;

inline constexpr uint32_t kCpuidHypervisorPresent = 1u << 31;  // leaf 1 ECX
inline constexpr uint32_t kCpuidVendorEbx = 0x7263694D;        // "Micr"
inline constexpr uint32_t kCpuidVendorEcx = 0x666F736F;        // "osof"
inline constexpr uint32_t kCpuidVendorEdx = 0x76482074;        // "t Hv"
inline constexpr uint32_t kCpuidInterfaceHv1 = 0x31237648;     // "Hv#1"
inline constexpr uint32_t kCpuidInterfaceVs1 = 0x31235356;     // "VS#1"
inline constexpr uint32_t kCpuidMaxLeafMin = 0x40000005;
inline constexpr uint32_t kCpuidMaxLeafMax = 0x4000FFFF;
inline constexpr uint32_t kCpuidSpinNeverNotify = 0xFFFFFFFF;  // leaf 4 EBX

// Leaf 3 EAX: privileges, each gates the registers named.
inline constexpr uint32_t kPrivilegeVpRuntime = 1u << 0;
inline constexpr uint32_t kPrivilegeTimeRefCount = 1u << 1;
inline constexpr uint32_t kPrivilegeSynic = 1u << 2;
inline constexpr uint32_t kPrivilegeSyntheticTimers = 1u << 3;
inline constexpr uint32_t kPrivilegeApic = 1u << 4;
inline constexpr uint32_t kPrivilegeHypercall = 1u << 5;
inline constexpr uint32_t kPrivilegeVpIndex = 1u << 6;
inline constexpr uint32_t kPrivilegeReset = 1u << 7;
inline constexpr uint32_t kPrivilegeReferenceTsc = 1u << 9;
inline constexpr uint32_t kPrivilegeFrequency = 1u << 11;
// Leaf 3 EBX.
inline constexpr uint32_t kPrivilegePostMessages = 1u << 4;
inline constexpr uint32_t kPrivilegeSignalEvents = 1u << 5;
inline constexpr uint32_t kPrivilegeAccessPartitionId = 1u << 1;
inline constexpr uint32_t kPrivilegeVpRegisters = 1u << 17;
inline constexpr uint32_t kPrivilegeExtendedHypercalls = 1u << 20;
inline constexpr uint32_t kPrivilegeIsolation = 1u << 22;
// Leaf 3 EDX.
inline constexpr uint32_t kFeatureXmmInput = 1u << 4;
inline constexpr uint32_t kFeatureFrequency = 1u << 8;
inline constexpr uint32_t kFeatureCrash = 1u << 10;
inline constexpr uint32_t kFeatureXmmOutput = 1u << 15;
inline constexpr uint32_t kFeatureSintPolling = 1u << 17;
inline constexpr uint32_t kFeatureDirectTimers = 1u << 19;
// Leaf 4 EAX.
inline constexpr uint32_t kHintRelaxedTiming = 1u << 5;
inline constexpr uint32_t kHintAutoEoiDeprecated = 1u << 9;

// ---- Synthetic registers (section 2) ------------------------------------------------------------

inline constexpr uint32_t kRegGuestOsId = 0x40000000;
inline constexpr uint32_t kRegHypercall = 0x40000001;
inline constexpr uint32_t kRegVpIndex = 0x40000002;
inline constexpr uint32_t kRegReset = 0x40000003;
inline constexpr uint32_t kRegVpRuntime = 0x40000010;
inline constexpr uint32_t kRegTimeRefCount = 0x40000020;
inline constexpr uint32_t kRegReferenceTsc = 0x40000021;
inline constexpr uint32_t kRegTscFrequency = 0x40000022;
inline constexpr uint32_t kRegApicFrequency = 0x40000023;
inline constexpr uint32_t kRegEoi = 0x40000070;
inline constexpr uint32_t kRegIcr = 0x40000071;
inline constexpr uint32_t kRegTpr = 0x40000072;
inline constexpr uint32_t kRegVpAssistPage = 0x40000073;
inline constexpr uint32_t kRegScontrol = 0x40000080;
inline constexpr uint32_t kRegSversion = 0x40000081;
inline constexpr uint32_t kRegSiefp = 0x40000082;
inline constexpr uint32_t kRegSimp = 0x40000083;
inline constexpr uint32_t kRegEom = 0x40000084;
inline constexpr uint32_t kRegSint0 = 0x40000090;          // + n, n = 0 .. 15
inline constexpr uint32_t kRegStimer0Config = 0x400000B0;  // + 2n, n = 0 .. 3
inline constexpr uint32_t kRegStimer0Count = 0x400000B1;   // + 2n
inline constexpr uint32_t kRegGuestIdle = 0x400000F0;
inline constexpr uint32_t kRegCrashP0 = 0x40000100;  // + n, n = 0 .. 4
inline constexpr uint32_t kRegCrashCtl = 0x40000105;
inline constexpr uint32_t kRegReenlightenmentControl = 0x40000106;
inline constexpr uint32_t kRegTscEmulationControl = 0x40000107;
inline constexpr uint32_t kRegTscEmulationStatus = 0x40000108;
inline constexpr uint32_t kRegTscInvariantControl = 0x40000118;

inline constexpr uint32_t kSintCount = 16;
inline constexpr uint32_t kSyntheticTimerCount = 4;
inline constexpr uint32_t kVmbusSint = 2;
inline constexpr uint32_t kCrashParameterCount = 5;

// HYPERCALL, SIMP, SIEFP, REFERENCE_TSC, VP_ASSIST_PAGE: page number and enable bit.
inline constexpr uint64_t kPageRegisterEnable = 1;
inline constexpr uint64_t kPageRegisterPageMask = ~uint64_t{0xFFF};
inline constexpr uint64_t kPageRegisterReserved = 0xFFE;
inline constexpr uint64_t kHypercallRegisterLocked = 2;
constexpr uint64_t PageRegister(uint64_t gpa) {
  return (gpa & kPageRegisterPageMask) | kPageRegisterEnable;
}

inline constexpr uint64_t kScontrolEnable = 1;
inline constexpr uint64_t kSversionValue = 1;

// SINTn (section 4.1).
inline constexpr uint64_t kSintVectorMask = 0xFF;
inline constexpr uint64_t kSintMasked = 1u << 16;
inline constexpr uint64_t kSintAutoEoi = 1u << 17;
inline constexpr uint64_t kSintPolling = 1u << 18;
inline constexpr uint64_t kSintProxy = 1u << 20;
inline constexpr uint64_t kSintReset = kSintMasked;
inline constexpr uint8_t kSintVectorMin = 16;

// STIMERn_CONFIG (section 6).
inline constexpr uint64_t kStimerEnable = 1u << 0;
inline constexpr uint64_t kStimerPeriodic = 1u << 1;
inline constexpr uint64_t kStimerLazy = 1u << 2;
inline constexpr uint64_t kStimerAutoEnable = 1u << 3;
inline constexpr uint64_t kStimerDirect = 1u << 12;
constexpr uint64_t StimerDirectVector(uint8_t vector) {
  return kStimerDirect | uint64_t{vector} << 4;
}
constexpr uint64_t StimerSint(uint8_t sint) { return uint64_t{sint} << 16; }
constexpr uint8_t StimerVectorOf(uint64_t config) { return static_cast<uint8_t>(config >> 4); }
constexpr uint8_t StimerSintOf(uint64_t config) { return static_cast<uint8_t>(config >> 16 & 0xF); }

// CRASH_CTL (section 7.2).
inline constexpr uint64_t kCrashNotify = uint64_t{1} << 63;
inline constexpr uint64_t kCrashMessage = uint64_t{1} << 62;
inline constexpr uint64_t kCrashNoDump = uint64_t{1} << 61;

inline constexpr uint64_t kResetPartition = 1;

// GUEST_OS_ID, open-source form (section 2.1).
constexpr uint64_t OpenSourceGuestOsId(uint8_t os_type, uint8_t distribution, uint32_t version,
                                       uint16_t build) {
  return uint64_t{1} << 63 | uint64_t{os_type & 0x7Fu} << 56 | uint64_t{distribution} << 48 |
         uint64_t{version} << 16 | build;
}

// ---- VP register names (section 2, used by Get/SetVpRegisters)
// ------------------------------------

inline constexpr uint32_t kVpRegVersion = 0x100;
inline constexpr uint32_t kVpRegFeatures = 0x200;
inline constexpr uint32_t kVpRegEnlightenments = 0x201;
inline constexpr uint32_t kVpRegLimits = 0x202;
inline constexpr uint32_t kVpRegIsolation = 0x209;
inline constexpr uint32_t kVpRegCrashP0 = 0x210;
inline constexpr uint32_t kVpRegCrashCtl = 0x215;
inline constexpr uint32_t kVpRegVpRuntime = 0x90000;
inline constexpr uint32_t kVpRegGuestOsId = 0x90002;
inline constexpr uint32_t kVpRegVpIndex = 0x90003;
inline constexpr uint32_t kVpRegTimeRefCount = 0x90004;
inline constexpr uint32_t kVpRegVpAssistPage = 0x90013;
inline constexpr uint32_t kVpRegReferenceTsc = 0x90017;
inline constexpr uint32_t kVpRegSint0 = 0xA0000;
inline constexpr uint32_t kVpRegScontrol = 0xA0010;
inline constexpr uint32_t kVpRegSversion = 0xA0011;
inline constexpr uint32_t kVpRegSiefp = 0xA0012;
inline constexpr uint32_t kVpRegSimp = 0xA0013;
inline constexpr uint32_t kVpRegEom = 0xA0014;
inline constexpr uint32_t kVpRegStimer0Config = 0xB0000;  // + 2n
inline constexpr uint32_t kVpRegStimer0Count = 0xB0001;   // + 2n

// ---- Hypercalls (section 3) ---------------------------------------------------------------------

inline constexpr uint16_t kCallGetPartitionId = 0x0046;
inline constexpr uint16_t kCallGetVpRegisters = 0x0050;
inline constexpr uint16_t kCallSetVpRegisters = 0x0051;
inline constexpr uint16_t kCallPostMessage = 0x005C;
inline constexpr uint16_t kCallSignalEvent = 0x005D;
inline constexpr uint16_t kCallRetargetDeviceInterrupt = 0x007E;
inline constexpr uint16_t kCallMmioRead = 0x0106;
inline constexpr uint16_t kCallMmioWrite = 0x0107;
inline constexpr uint16_t kCallExtQueryCapabilities = 0x8001;
inline constexpr uint16_t kCallExtMemoryHeatHint = 0x8003;

// Control word (section 3.2).
inline constexpr uint64_t kControlFast = uint64_t{1} << 16;
inline constexpr uint64_t kControlReserved =
    uint64_t{0xF} << 27 | uint64_t{0xF} << 44 | uint64_t{0xF} << 60;
constexpr uint64_t SimpleCall(uint16_t code) { return code; }
constexpr uint64_t FastCall(uint16_t code) { return code | kControlFast; }
constexpr uint64_t RepCall(uint16_t code, uint16_t count, uint16_t start = 0) {
  return code | uint64_t{count & 0xFFFu} << 32 | uint64_t{start & 0xFFFu} << 48;
}
constexpr uint64_t VariableHeader(uint32_t qwords) { return uint64_t{qwords & 0x3FF} << 17; }
constexpr uint16_t ControlCode(uint64_t control) { return static_cast<uint16_t>(control); }
constexpr bool ControlIsFast(uint64_t control) { return (control & kControlFast) != 0; }
constexpr uint32_t ControlVariableQwords(uint64_t control) { return control >> 17 & 0x3FF; }
constexpr uint32_t ControlRepCount(uint64_t control) { return control >> 32 & 0xFFF; }
constexpr uint32_t ControlRepStart(uint64_t control) { return control >> 48 & 0xFFF; }

inline constexpr uint64_t kCallSignalEventFast = FastCall(kCallSignalEvent);

// Section 3.4.
enum class HypercallStatus : uint16_t {
  kSuccess = 0x00,
  kInvalidHypercallCode = 0x02,
  kInvalidHypercallInput = 0x03,
  kInvalidAlignment = 0x04,
  kInvalidParameter = 0x05,
  kAccessDenied = 0x06,
  kInvalidPartitionState = 0x07,
  kOperationDenied = 0x08,
  kUnknownProperty = 0x09,
  kInsufficientMemory = 0x0B,
  kInvalidPartitionId = 0x0D,
  kInvalidVpIndex = 0x0E,
  kNotFound = 0x10,
  kInvalidPortId = 0x11,
  kInvalidConnectionId = 0x12,
  kInsufficientBuffers = 0x13,
  kNotAcknowledged = 0x14,
  kInvalidSynicState = 0x18,
  kObjectInUse = 0x19,
  kNoResources = 0x1D,
  kFeatureUnavailable = 0x1E,
  kInsufficientBuffer = 0x33,
  kInvalidRegisterValue = 0x50,
  kInvalidVtlState = 0x51,
  kInvalidDeviceId = 0x57,
  kOperationFailed = 0x71,
  kTimeout = 0x78,
  kUnknownRegisterName = 0x87,
};

// Result word (section 3.3): never compare all 64 bits.
constexpr HypercallStatus ResultStatus(uint64_t result) {
  return static_cast<HypercallStatus>(result & 0xFFFF);
}
constexpr uint32_t ResultReps(uint64_t result) { return result >> 32 & 0xFFF; }
constexpr uint64_t HypercallResult(HypercallStatus status, uint32_t reps = 0) {
  return static_cast<uint64_t>(status) | uint64_t{reps & 0xFFF} << 32;
}

inline constexpr uint64_t kPartitionIdSelf = ~uint64_t{0};
inline constexpr uint32_t kVpIndexSelf = 0xFFFFFFFE;

inline constexpr size_t kMessagePayloadMax = 240;
inline constexpr uint32_t kMessageTypeNone = 0;
inline constexpr uint32_t kMessageTypeVmbus = 1;
inline constexpr uint32_t kMessageTypeTimer = 0x80000010;
inline constexpr uint32_t kMessageTypeHypervisor = 0x80000000;  // bit 31: not for guests to post
inline constexpr uint32_t kConnectionIdMask = 0xFFFFFF;

// Connections that every guest finds (section 4.5).
inline constexpr uint32_t kMessageConnectionLegacy = 1;  // contact below 5.0
inline constexpr uint32_t kEventConnectionLegacy = 2;
inline constexpr uint32_t kMonitorConnection = 3;
inline constexpr uint32_t kMessageConnection = 4;  // contact with 5.0 and later

struct PostMessageInput {
  uint32_t connection_id;
  uint32_t reserved;
  uint32_t message_type;
  uint32_t payload_size;
  std::array<std::byte, kMessagePayloadMax> payload;
};
static_assert(sizeof(PostMessageInput) == 256 && offsetof(PostMessageInput, payload) == 16);

struct SignalEventInput {
  uint32_t connection_id;
  uint16_t flag_number;
  uint16_t reserved;
};
static_assert(sizeof(SignalEventInput) == 8);

struct VpRegistersHeader {
  uint64_t partition_id;
  uint32_t vp_index;
  uint8_t target_vtl;
  uint8_t padding[3];
};
static_assert(sizeof(VpRegistersHeader) == 16);

struct VpRegisterAssignment {
  uint32_t name;
  uint32_t padding[3];
  uint64_t value_low;
  uint64_t value_high;
};
static_assert(sizeof(VpRegisterAssignment) == 32 &&
              offsetof(VpRegisterAssignment, value_low) == 16);

struct VpRegisterValue {
  uint64_t low;
  uint64_t high;
};
static_assert(sizeof(VpRegisterValue) == 16);

// ---- SynIC pages (section 4.2) ------------------------------------------------------------------

// Slot of SINT n at n * 256 of the message page.
struct SynicMessage {
  uint32_t type;  // 0: the slot is empty
  uint8_t payload_size;
  uint8_t flags;  // kMessageFlagPending
  uint16_t reserved;
  uint64_t sender;
  std::array<std::byte, kMessagePayloadMax> payload;
};
static_assert(sizeof(SynicMessage) == 256 && offsetof(SynicMessage, flags) == 5);
static_assert(offsetof(SynicMessage, sender) == 8 && offsetof(SynicMessage, payload) == 16);

inline constexpr uint8_t kMessageFlagPending = 1;

struct SynicMessagePage {
  SynicMessage slot[kSintCount];
};
static_assert(sizeof(SynicMessagePage) == 4096);

inline constexpr uint32_t kEventFlagCount = 2048;  // per SINT
inline constexpr uint32_t kEventFlagWords = kEventFlagCount / 64;

// Flag f of SINT n: bit f % 64 of flags[n][f / 64]. The flag number is the channel's relid.
struct SynicEventFlagsPage {
  uint64_t flags[kSintCount][kEventFlagWords];
};
static_assert(sizeof(SynicEventFlagsPage) == 4096);

struct TimerMessagePayload {
  uint32_t timer_index;
  uint32_t reserved;
  uint64_t expiration_time;
  uint64_t delivery_time;
};
static_assert(sizeof(TimerMessagePayload) == 24);

// ---- Reference time (section 5) -----------------------------------------------------------------

inline constexpr uint64_t kReferenceTicksPerSecond = 10'000'000;

struct ReferenceTscPage {
  uint32_t sequence;  // 0: invalid, read TIME_REF_COUNT
  uint32_t reserved;
  uint64_t scale;
  int64_t offset;
  std::byte unused[4072];
};
static_assert(sizeof(ReferenceTscPage) == 4096 && offsetof(ReferenceTscPage, offset) == 16);

// floor(10^7 * 2^64 / tsc_hz); tsc_hz must be above 10^7.
constexpr uint64_t ReferenceTscScale(uint64_t tsc_hz) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((Wide{kReferenceTicksPerSecond} << 64) / tsc_hz);
}
// High half of the 128-bit product, plus the offset, modulo 2^64.
constexpr uint64_t ReferenceTimeFromTsc(uint64_t tsc, uint64_t scale, int64_t offset) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(Wide{tsc} * scale >> 64) + static_cast<uint64_t>(offset);
}

// ---- VP assist page (section 4.6) and monitor pages (02 section 9.2)
// ------------------------------

inline constexpr uint32_t kApicAssistNoEoi = 1;  // u32 at offset 0

inline constexpr uint32_t kMonitorGroups = 4;
inline constexpr uint32_t kMonitorsPerGroup = 32;
inline constexpr uint32_t kMonitorCount = kMonitorGroups * kMonitorsPerGroup;

struct MonitorPage {
  uint32_t trigger_state;
  uint32_t reserved0;
  struct {
    uint32_t pending;
    uint32_t armed;
  } trigger_group[kMonitorGroups];
  std::byte reserved1[24];
  int32_t next_check_time[kMonitorGroups][kMonitorsPerGroup];
  uint16_t latency[kMonitorGroups][kMonitorsPerGroup];
  std::byte reserved2[256];
  struct {
    uint32_t connection_id;
    uint16_t flag_number;
    uint16_t reserved;
  } parameter[kMonitorGroups][kMonitorsPerGroup];
  std::byte reserved3[1984];
};
static_assert(sizeof(MonitorPage) == 4096 && offsetof(MonitorPage, next_check_time) == 0x40);
static_assert(offsetof(MonitorPage, latency) == 0x240 && offsetof(MonitorPage, parameter) == 0x440);
static_assert(offsetof(MonitorPage, reserved3) == 0x840);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_PROTOCOL_HYPERVISOR_H_
