#include "transports/embedded_host/register_file.h"

#include "transports/embedded_host/general_protection.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kApicHz = 200'000'000;
constexpr uint64_t kTprMask = 0xFF;

// ICR (an APIC's, in one register): delivery mode [10:8], shorthand [19:18], destination [63:32].
constexpr uint64_t kIcrModeMask = 7u << 8;
constexpr uint32_t kIcrShorthandShift = 18;
enum IcrShorthand : uint32_t { kIcrDestination, kIcrSelf, kIcrAll, kIcrOthers };

bool IsReadOnly(uint32_t reg) {
  return reg == kRegVpIndex || reg == kRegTimeRefCount || reg == kRegTscFrequency ||
         reg == kRegApicFrequency;
}

}  // namespace

absl::StatusOr<uint64_t> RegisterFile::Read(uint32_t vp, uint32_t reg) {
  if (vp >= vps_.size()) return GeneralProtection(reg, "no such virtual processor");
  VirtualProcessor& processor = *vps_[vp];
  if (PartitionRegisters::Owns(reg)) return partition_.Read(reg);
  if (Synic::Owns(reg)) return processor.synic().Read(reg);
  if (SyntheticTimers::Owns(reg)) return processor.timers().Read(reg);
  switch (reg) {
    case kRegVpIndex:
      return vp;
    case kRegTimeRefCount:
      return clock_.Now(processor.executor());
    case kRegTscFrequency:
      return clock_.tsc_hz();
    case kRegApicFrequency:
      return kApicHz;
    case kRegEoi:
      return GeneralProtection(reg, "write-only");
    case kRegIcr:
      return 0;  // delivery is immediate: nothing is ever pending
    case kRegTpr:
      return processor.tpr();
    case kRegVpAssistPage:
      return processor.assist_register();
    default:
      return GeneralProtection(reg, "no such register");
  }
}

absl::Status RegisterFile::Write(uint32_t vp, uint32_t reg, uint64_t value) {
  if (vp >= vps_.size()) return GeneralProtection(reg, value, "no such virtual processor");
  VirtualProcessor& processor = *vps_[vp];
  if (PartitionRegisters::Owns(reg)) return partition_.Write(reg, value);
  if (Synic::Owns(reg)) return processor.synic().Write(reg, value);
  if (SyntheticTimers::Owns(reg)) {
    processor.timers().Write(reg, value);
    return absl::OkStatus();
  }
  if (IsReadOnly(reg)) return GeneralProtection(reg, value, "read-only");
  switch (reg) {
    case kRegEoi:
      return absl::
          OkStatus();  // Events coalesce by themselves: there is no in-service state to end
    case kRegIcr:
      SendIpi(vp, value);
      return absl::OkStatus();
    case kRegTpr:
      processor.set_tpr(value & kTprMask);
      return absl::OkStatus();
    case kRegVpAssistPage:
      return processor.WriteAssistRegister(value);
    default:
      return GeneralProtection(reg, value, "no such register");
  }
}

// Fixed interrupts only; the APIC id of a processor is its index.
void RegisterFile::SendIpi(uint32_t source, uint64_t icr) {
  if ((icr & kIcrModeMask) != 0) return;
  AccessGate::Scope inside(gates_.vp(source));  // keeps the target's handler alive
  const auto vector = static_cast<uint8_t>(icr);
  const auto destination = static_cast<uint32_t>(icr >> 32);
  for (uint32_t vp = 0; vp < vps_.size(); ++vp) {
    bool hit = false;
    switch (static_cast<IcrShorthand>(icr >> kIcrShorthandShift & 3)) {
      case kIcrDestination:
        hit = vp == destination;
        break;
      case kIcrSelf:
        hit = vp == source;
        break;
      case kIcrAll:
        hit = true;
        break;
      case kIcrOthers:
        hit = vp != source;
        break;
    }
    if (hit) vps_[vp]->synic().interrupts().Raise(vector);
  }
}

std::optional<uint32_t> MsrOfVpRegister(uint32_t name) {
  if (name >= kVpRegSint0 && name < kVpRegSint0 + kSintCount) {
    return kRegSint0 + (name - kVpRegSint0);
  }
  if (name >= kVpRegStimer0Config && name < kVpRegStimer0Config + 2 * kSyntheticTimerCount) {
    return kRegStimer0Config + (name - kVpRegStimer0Config);
  }
  if (name >= kVpRegCrashP0 && name <= kVpRegCrashCtl) return kRegCrashP0 + (name - kVpRegCrashP0);
  switch (name) {
    case kVpRegGuestOsId:
      return kRegGuestOsId;
    case kVpRegVpIndex:
      return kRegVpIndex;
    case kVpRegTimeRefCount:
      return kRegTimeRefCount;
    case kVpRegVpAssistPage:
      return kRegVpAssistPage;
    case kVpRegReferenceTsc:
      return kRegReferenceTsc;
    case kVpRegScontrol:
      return kRegScontrol;
    case kVpRegSversion:
      return kRegSversion;
    case kVpRegSiefp:
      return kRegSiefp;
    case kVpRegSimp:
      return kRegSimp;
    case kVpRegEom:
      return kRegEom;
    default:
      return std::nullopt;
  }
}

HypercallStatus RegisterFile::GetByName(uint32_t vp, uint32_t name, VpRegisterValue& value) {
  value = {};
  uint32_t leaf = 0;
  switch (name) {
    case kVpRegVersion:
      leaf = kCpuidLeafVersion;
      break;
    case kVpRegFeatures:
      leaf = kCpuidLeafFeatures;
      break;
    case kVpRegEnlightenments:
      leaf = kCpuidLeafHints;
      break;
    case kVpRegLimits:
      leaf = kCpuidLeafLimits;
      break;
    case kVpRegIsolation:
      leaf = kCpuidLeafIsolation;
      break;
    default: {
      const std::optional<uint32_t> msr = MsrOfVpRegister(name);
      if (!msr) return HypercallStatus::kUnknownRegisterName;
      const absl::StatusOr<uint64_t> word = Read(vp, *msr);
      if (!word.ok()) return HypercallStatus::kInvalidParameter;
      value.low = *word;
      return HypercallStatus::kSuccess;
    }
  }
  const CpuidResult words = EmulateCpuid(cpuid_, leaf);
  value.low = words.eax | uint64_t{words.ebx} << 32;
  value.high = words.ecx | uint64_t{words.edx} << 32;
  return HypercallStatus::kSuccess;
}

HypercallStatus RegisterFile::SetByName(uint32_t vp, uint32_t name, const VpRegisterValue& value) {
  const std::optional<uint32_t> msr = MsrOfVpRegister(name);
  if (!msr) return HypercallStatus::kUnknownRegisterName;
  return Write(vp, *msr, value.low).ok() ? HypercallStatus::kSuccess
                                         : HypercallStatus::kInvalidParameter;
}

}  // namespace vmbuskit
