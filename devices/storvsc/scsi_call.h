// One SCSI command and its answer as one await, for control sequences: scans, and whatever a program passes through.
//
//   ScsiCaller caller(context, lane);
//   ScsiCall call = ScsiCall::In(address, {scsi::kInquiry, 0, 0, 0, 36}, 6, data);
//   absl::StatusOr<ScsiReply> reply = co_await caller.Execute(call);
//   if (reply.ok() && reply->succeeded()) Parse(data.first(reply->transferred));
//
// The data travels through guest pages of the call's own, which are zero before a command that reads: `data` holds
// zeros where the host wrote nothing. Pages that a silent host may still use are withheld from reuse.
//
// Thread safety: the executor of the lane. Lifetime: the data and the caller must live until the call ended, which it
// does when the host answered or the lane was ended (ScsiLane::EndAll), not earlier.
// Errors: Unavailable (the channel ended), DataLoss (the same, and the host did not let go), InvalidArgument for what
// breaks a rule of scsi_command.h, ResourceExhausted (no pages). What the device says stands in the reply.
#ifndef VMBUSKIT_DEVICES_STORVSC_SCSI_CALL_H_
#define VMBUSKIT_DEVICES_STORVSC_SCSI_CALL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "devices/storvsc/protocol.h"
#include "devices/storvsc/scsi.h"
#include "devices/storvsc/scsi_command.h"
#include "devices/storvsc/scsi_lane.h"
#include "devices/storvsc/scsi_result.h"
#include "framework/bus/device.h"
#include "framework/interfaces/block_controller.h"
#include "framework/task/task.h"

namespace vmbuskit {

using ScsiCdb = std::array<uint8_t, storvsc::kMaxCdbBytes>;

struct ScsiCall {
  BlockAddress address;
  ScsiCdb cdb{};
  uint8_t cdb_bytes = 0;
  storvsc::DataDirection direction = storvsc::kNoData;
  std::span<std::byte> data{};          // where it goes to, of kDataIn
  std::span<const std::byte> source{};  // where it comes from, of kDataOut
  uint32_t timeout_seconds = ScsiCommand::kDefaultTimeoutSeconds;

  static ScsiCall In(BlockAddress address, const ScsiCdb& cdb, uint8_t cdb_bytes,
                     std::span<std::byte> data) {
    return {.address = address,
            .cdb = cdb,
            .cdb_bytes = cdb_bytes,
            .direction = storvsc::kDataIn,
            .data = data};
  }
  static ScsiCall Out(BlockAddress address, const ScsiCdb& cdb, uint8_t cdb_bytes,
                      std::span<const std::byte> source) {
    return {.address = address,
            .cdb = cdb,
            .cdb_bytes = cdb_bytes,
            .direction = storvsc::kDataOut,
            .source = source};
  }
  static ScsiCall NoData(BlockAddress address, const ScsiCdb& cdb, uint8_t cdb_bytes) {
    return {.address = address, .cdb = cdb, .cdb_bytes = cdb_bytes};
  }
};

// What the host answered (scsi_command.h).
struct ScsiReply {
  uint8_t srb_status = 0;
  uint8_t scsi_status = 0;
  uint32_t transferred = 0;
  uint8_t sense_bytes = 0;
  std::array<uint8_t, storvsc::kMaxSenseBytes> sense_data{};

  uint8_t srb_code() const { return srb_status & storvsc::kSrbCodeMask; }
  bool succeeded() const {
    return srb_status == storvsc::kSrbSuccess && scsi_status == scsi::kGood;
  }
  // Nobody is at that address (section 5.4).
  bool absent() const { return judge().lun_gone; }
  // It does not do that, or not for this initiator: there, and to the same question it will say the same.
  bool refused() const {
    const ScsiVerdict verdict = judge();
    return verdict.action == ScsiAction::kEnd &&
           (verdict.result == BlockResult::kNotSupported ||
            verdict.result == BlockResult::kInvalid || verdict.result == BlockResult::kOutOfRange ||
            verdict.result == BlockResult::kConflict);
  }
  bool has_no_medium() const {
    const scsi::Sense codes = sense();
    return codes.key == scsi::kNotReady && codes.asc == scsi_asc::kMediumNotPresent;
  }
  // It could not be said now: busy, interrupted by a reset, not ready yet. Ask again.
  bool transient() const { return judge().action != ScsiAction::kEnd; }
  ScsiVerdict judge() const {
    return JudgeScsi(srb_status, scsi_status, std::span(sense_data).first(sense_bytes));
  }
  // Zeros when there is no sense.
  scsi::Sense sense() const;
  // "srb 0x86, scsi 0x02, sense 5/21/00".
  std::string ToString() const;
};

class ScsiCaller {
 public:
  // The context outlives every call; `lane` is on the device's executor. It is shared, because a patient call may come
  // back to it after it was ended.
  ScsiCaller(DeviceContext& context, std::shared_ptr<ScsiLane> lane)
      : context_(context), lane_(std::move(lane)) {}

  Task<absl::StatusOr<ScsiReply>> Execute(ScsiCall call);
  // The same, again while the answer is transient (with a pause where the device is busy), a few times.
  Task<absl::StatusOr<ScsiReply>> ExecutePatiently(ScsiCall call);

 private:
  DeviceContext& context_;
  const std::shared_ptr<ScsiLane> lane_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SCSI_CALL_H_
