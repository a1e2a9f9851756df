// What a completed command means for the request that it was for. Source: protocol 10 section 5.4.
//
//   const ScsiVerdict verdict = JudgeScsi(command);
//   if (verdict.rescan) on_rescan_wanted();
//   switch (verdict.action) ...
//
// Thread safety: pure functions.
#ifndef VMBUSKIT_DEVICES_STORVSC_SCSI_RESULT_H_
#define VMBUSKIT_DEVICES_STORVSC_SCSI_RESULT_H_

#include <cstdint>
#include <optional>
#include <span>

#include "devices/storvsc/scsi_command.h"
#include "framework/interfaces/block_device.h"

namespace vmbuskit {

enum class ScsiAction : uint8_t {
  kEnd,         // with `result`
  kRetry,       // at once; `result` when it has been tried too often
  kRetryLater,  // the disk is busy; the same
};

struct ScsiVerdict {
  ScsiAction action = ScsiAction::kEnd;
  BlockResult result = BlockResult::kOk;
  bool lun_gone = false;  // there is no such LUN: remove it
  bool rescan = false;    // capacity or LUNs changed: look again
  friend bool operator==(const ScsiVerdict&, const ScsiVerdict&) = default;
};

// Of a command that ended with ScsiEnd::kCompleted. How much it moved is not looked at.
ScsiVerdict JudgeScsi(const ScsiCommand& command);
ScsiVerdict JudgeScsi(uint8_t srb_status, uint8_t scsi_status, std::span<const uint8_t> sense);

// From sense data in fixed or descriptor format, as much as there is; nullopt when it is neither.
std::optional<scsi::Sense> ParseSense(std::span<const uint8_t> bytes);

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SCSI_RESULT_H_
