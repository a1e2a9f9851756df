// CDBs of the commands that a disk gets. Source: protocol 10 section 7.
//
//   SetTransferCdb(command, /*write=*/false, lba, blocks, /*force_unit_access=*/false);
//
// Thread safety: pure functions of the command. Units: blocks.
#ifndef VMBUSKIT_DEVICES_STORVSC_SCSI_CDB_H_
#define VMBUSKIT_DEVICES_STORVSC_SCSI_CDB_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "devices/storvsc/scsi.h"
#include "devices/storvsc/scsi_command.h"

namespace vmbuskit {

// Sixteen bytes where operation, a byte of flags, LBA and a 32-bit count stand as in READ(16).
inline void SetCdb16(ScsiCommand& command, uint8_t opcode, uint8_t flags, uint64_t lba,
                     uint32_t count) {
  command.cdb = {opcode, flags};
  scsi::WriteBig64(command.cdb.data() + 2, lba);
  scsi::WriteBig32(command.cdb.data() + 10, count);
  command.cdb_bytes = 16;
}

// READ or WRITE, in ten bytes where that is enough: every host knows those.
inline void SetTransferCdb(ScsiCommand& command, bool write, uint64_t lba, uint32_t blocks,
                           bool force_unit_access) {
  const auto flags = static_cast<uint8_t>(force_unit_access ? scsi::kForceUnitAccess : 0);
  if (lba > UINT32_MAX || blocks > UINT16_MAX) [[unlikely]] {
    return SetCdb16(command, write ? scsi::kWrite16 : scsi::kRead16, flags, lba, blocks);
  }
  command.cdb = {static_cast<uint8_t>(write ? scsi::kWrite10 : scsi::kRead10), flags};
  scsi::WriteBig32(command.cdb.data() + 2, static_cast<uint32_t>(lba));
  scsi::WriteBig16(command.cdb.data() + 7, static_cast<uint16_t>(blocks));
  command.cdb_bytes = 10;
}

inline void SetWriteSameCdb(ScsiCommand& command, bool unmap, uint64_t lba, uint32_t blocks) {
  SetCdb16(command, scsi::kWriteSame16, unmap ? scsi::kWriteSameUnmap : 0, lba, blocks);
}

inline void SetFlushCdb(ScsiCommand& command) {
  command.cdb = {scsi::kSynchronizeCache10};
  command.cdb_bytes = 10;
}

inline void SetUnmapCdb(ScsiCommand& command, uint16_t list_bytes) {
  command.cdb = {scsi::kUnmap};
  scsi::WriteBig16(command.cdb.data() + 7, list_bytes);
  command.cdb_bytes = 10;
}

inline void SetLbaStatusCdb(ScsiCommand& command, uint64_t lba, uint32_t allocation_bytes) {
  SetCdb16(command, scsi::kServiceActionIn16, scsi::kGetLbaStatusAction, lba, allocation_bytes);
}

// UNMAP's parameter list with one range.
inline constexpr uint32_t kUnmapListBytes = 24;
inline void WriteUnmapList(std::byte* to, uint64_t lba, uint32_t blocks) {
  std::byte list[kUnmapListBytes] = {};
  scsi::WriteBig16(list, kUnmapListBytes - 2);
  scsi::WriteBig16(list + 2, kUnmapListBytes - 8);
  scsi::WriteBig64(list + 8, lba);
  scsi::WriteBig32(list + 16, blocks);
  std::memcpy(to, list, sizeof list);
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SCSI_CDB_H_
