// What an input of partition_fuzz consists of: operations and their fields, the registers and calls that their numbers
// mean, the readings of the host that its first option byte chooses.
//
//   case kWriteRegister: partition.WriteRegister(vp, kSampleRegisters[index % std::size(kSampleRegisters)], value);
//
// Thread safety: constants. For partition_fuzz.cc only.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_FUZZ_SCRIPT_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_FUZZ_SCRIPT_H_

#include <cstdint>

#include "transports/embedded_host/partition_options.h"
#include "transports/embedded_host/sample_registers.h"
#include "transports/embedded_host/state_bending.h"
#include "transports/protocol/hypervisor.h"
#include "transports/protocol/message_layouts.h"
#include "transports/protocol/message_script.h"

namespace vmbuskit::partition_fuzz {

enum Operation : uint8_t {
  kBringUp = kFuzzOperationMin,
  kWriteRegister,
  kReadRegister,
  kWritePage,
  kSetSint,
  kSetTimer,
  kPostMessage,
  kSignalEvent,
  kGetRegisters,
  kSetRegisters,
  kAnyCall,
  kMemory,
  kTakeMessage,
  kInterrupt,
  kHostMessage,
  kHostEvent,
  kPort,
  kMonitor,
  kRun,
  kMigrate,
  kReset,
  kInspect,
  kSave,
  kRestore,
};

using enum FuzzField;
inline constexpr FuzzField kVpFields[] = {kSmall};
inline constexpr FuzzField kWriteFields[] = {kSmall, kByte, kQword};
inline constexpr FuzzField kReadFields[] = {kSmall, kByte, kDword};
inline constexpr FuzzField kPageFields[] = {kSmall, kSmall, kPage, kSmall};
inline constexpr FuzzField kSintFields[] = {kSmall, kSmall, kByte, kSmall};
inline constexpr FuzzField kTimerFields[] = {kSmall, kSmall, kByte, kWord, kDword};
inline constexpr FuzzField kPostFields[] = {kSmall, kHandle, kDword, kDword, kPage, kTail};
inline constexpr FuzzField kSignalFields[] = {kSmall, kSmall, kHandle, kWord, kWord};
inline constexpr FuzzField kGetFields[] = {kSmall, kSmall, kSmall, kByte, kDword};
inline constexpr FuzzField kSetFields[] = {kSmall, kSmall, kSmall, kByte, kQword, kByte, kQword};
inline constexpr FuzzField kCallFields[] = {kSmall, kByte, kQword, kGpa, kGpa};
inline constexpr FuzzField kMemoryFields[] = {kGpa, kTail};
inline constexpr FuzzField kSlotFields[] = {kSmall, kSmall, kSmall};
inline constexpr FuzzField kHostMessageFields[] = {kSmall, kSmall, kByte, kVp};
inline constexpr FuzzField kEventFields[] = {kSmall, kSmall, kWord};
inline constexpr FuzzField kPortFields[] = {kSmall, kHandle};
inline constexpr FuzzField kMonitorFields[] = {kSmall, kByte, kGpa, kGpa};
inline constexpr FuzzField kRunFields[] = {kSmall};
inline constexpr FuzzField kMigrateFields[] = {kDword};
inline constexpr FuzzLayout kOperations[] = {{kBringUp, kVpFields},
                                             {kWriteRegister, kWriteFields},
                                             {kReadRegister, kReadFields},
                                             {kWritePage, kPageFields},
                                             {kSetSint, kSintFields},
                                             {kSetTimer, kTimerFields},
                                             {kPostMessage, kPostFields},
                                             {kSignalEvent, kSignalFields},
                                             {kGetRegisters, kGetFields},
                                             {kSetRegisters, kSetFields},
                                             {kAnyCall, kCallFields},
                                             {kMemory, kMemoryFields},
                                             {kTakeMessage, kSlotFields},
                                             {kInterrupt, kSlotFields},
                                             {kHostMessage, kHostMessageFields},
                                             {kHostEvent, kEventFields},
                                             {kPort, kPortFields},
                                             {kMonitor, kMonitorFields},
                                             {kRun, kRunFields},
                                             {kMigrate, kMigrateFields},
                                             {kReset, {}},
                                             {kInspect, {}},
                                             {kSave, {}},
                                             {kRestore, kRestoreFields}};

inline constexpr uint16_t kCalls[] = {kCallPostMessage,
                                      kCallSignalEvent,
                                      kCallGetPartitionId,
                                      kCallGetVpRegisters,
                                      kCallSetVpRegisters,
                                      kCallExtQueryCapabilities,
                                      kCallRetargetDeviceInterrupt};

// Every reading of the host, by the first option byte.
inline PartitionOptions OptionsOf(const MessageScript& script) {
  PartitionOptions options;
  if (script.Flag(0, 0)) options.overlay = OverlayReading::kHideRam;
  if (script.Flag(0, 1)) options.guest_os_id = GuestOsIdReading::kRecordsOnly;
  if (script.Flag(0, 2)) options.masked_messages = MaskedMessages::kDrop;
  if (script.Flag(0, 3)) options.masked_events = MaskedEvents::kLatch;
  if (script.Flag(0, 4)) options.periodic = PeriodicReading::kFromDue;
  options.invariant_tsc = !script.Flag(0, 5);
  options.direct_timers = !script.Flag(0, 6);
  options.extended_hypercalls = !script.Flag(0, 7);
  return options;
}

}  // namespace vmbuskit::partition_fuzz

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_FUZZ_SCRIPT_H_
