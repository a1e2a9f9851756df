// One SCSI command on its way over a storvsc channel, and what came of it. Source: protocol 10 sections 3.1, 5.1, 5.2.
//
//   class Inquiry : public ScsiCommand {
//     void OnScsiDone(ScsiEnd end) override { ... }                  // exactly once for each Submit
//   };
//   inquiry.cdb = {scsi::kInquiry, 0, 0, 0, 36}, inquiry.cdb_bytes = 6;
//   inquiry.direction = storvsc::kDataIn, inquiry.segments = {&segment, 1}, inquiry.bytes = 36;
//   lane.Submit(inquiry);                                            // scsi_lane.h
//
// What the command says about memory must obey the protocol already: every segment has a guest address, and only the
// first may begin and the last end inside a page of 4 KiB.
//
// Thread safety: the executor of the lane that it was submitted to, from Submit until OnScsiDone.
// Ownership: the command, its segments and their bytes are the submitter's and must stay until it ended. It may be
// submitted again, or destroyed, from OnScsiDone.
// Units: bytes; `timeout_seconds` counts from the moment it is sent.
#ifndef VMBUSKIT_DEVICES_STORVSC_SCSI_COMMAND_H_
#define VMBUSKIT_DEVICES_STORVSC_SCSI_COMMAND_H_

#include <array>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <span>

#include "devices/storvsc/protocol.h"
#include "devices/storvsc/scsi.h"
#include "framework/channel/request_table.h"
#include "framework/interfaces/block_controller.h"

namespace vmbuskit {

class ScsiLane;

enum class ScsiEnd : uint8_t {
  kCompleted,  // the host answered: the result is filled in
  // Breaks a rule of this header, or fits into no packet of the channel: it was not sent.
  kRefused,
  // The channel ended and the host let go of the memory; whether it was carried out is not known.
  kGone,
  kLost,  // as kGone, but the host may still use the memory: it must not be used for anything else
};

// What ScsiLane keeps its lists with.
using ScsiCommandHook = boost::intrusive::list_base_hook<boost::intrusive::tag<ScsiLane>>;

class ScsiCommand : public Request, public ScsiCommandHook {
 public:
  static constexpr uint32_t kDefaultTimeoutSeconds = 60;

  // Never called from inside Submit.
  virtual void OnScsiDone(ScsiEnd end) = 0;

  // ---- The command.
  BlockAddress address;
  storvsc::DataDirection direction = storvsc::kNoData;
  uint8_t cdb_bytes = 0;  // 6 to 16
  std::array<uint8_t, storvsc::kMaxCdbBytes> cdb{};
  uint32_t bytes = 0;       // to move; 0 for kNoData
  uint32_t skip_bytes = 0;  // of the first segment: where the bytes begin
  // At least skip_bytes + bytes; what follows is not used.
  std::span<const BlockSegment> segments{};
  uint32_t timeout_seconds = kDefaultTimeoutSeconds;

  ScsiCommand* next_mail = nullptr;  // scsi_mailbox.h

  // ---- The result, when it was completed.
  uint8_t srb_status = 0;   // with its flags: storvsc::kSrbCodeMask, kSrbAutosenseValid
  uint8_t scsi_status = 0;  // scsi::Status
  uint8_t sense_bytes = 0;  // 0 without kSrbAutosenseValid; otherwise at most 20
  // At most `bytes`; 0 unless the host may be believed about it (section 5.4).
  uint32_t transferred = 0;
  std::array<uint8_t, storvsc::kMaxSenseBytes> sense{};

  uint8_t srb_code() const { return srb_status & storvsc::kSrbCodeMask; }
  // Exactly what section 5.4 counts as success.
  bool succeeded() const {
    return srb_status == storvsc::kSrbSuccess && scsi_status == scsi::kGood;
  }

 private:
  friend class ScsiLane;

  void OnEnd(RequestEnd end, const Packet* completion) final;  // scsi_lane.cc

  ScsiLane* lane_ = nullptr;
  uint32_t sent_tick_ = 0;  // ScsiLane's count of sweeps when it was sent
  bool overdue_ = false;
  ScsiEnd end_ = ScsiEnd::kCompleted;  // how it is to end at the next turn
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SCSI_COMMAND_H_
