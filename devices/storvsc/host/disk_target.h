// A SCSI disk over a BlockDevice. Source: protocol 10 section 7; where that leaves a choice the code says which.
//
//   DiskTarget disk(device, executor, {.serial = "0042"}, address);
//   if (disk.Execute(task)) ...
//
// Other than the reference's own host (openvmm), on purpose: WRITE AND VERIFY writes and reads back; VERIFY with
// BYTCHK 1 compares; a mode page that keeps to the standard is accepted by MODE SELECT; FUA works over back ends
// without it (a flush follows); the write cache bit tells the truth about the back end.
//
// Thread safety: the executor. Lifetime: longer than its tasks. Units: sectors ("blocks" of SCSI) where a name says
// so.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_DISK_TARGET_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_DISK_TARGET_H_

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <memory>
#include <string_view>

#include "devices/storvsc/host/disk_options.h"
#include "devices/storvsc/host/inquiry.h"
#include "devices/storvsc/host/reservations.h"
#include "devices/storvsc/host/scsi_target.h"
#include "framework/interfaces/block_device.h"
#include "platform/executor.h"

namespace vmbuskit {

class DiskTarget final : public ScsiTarget {
 public:
  // A sector has to fit into the memory in which commands repeat and compare.
  static constexpr uint32_t kBufferBytes = 64 * 1024;

  // `fallback_id`: what the disk's id is made of when nothing else has one. `initiator`: the guest's controller, for
  // reservations.
  DiskTarget(std::shared_ptr<BlockDevice> device, Executor& executor, const DiskOptions& options,
             std::string_view fallback_id, uint32_t initiator = 1);
  // False: the device gives no queue for the executor; no command may come.
  bool usable() const { return queue_ != nullptr; }

  bool Execute(ScsiTask& task) override;
  void OnBlockDone(ScsiTask& task, BlockResult result) override;
  void Save(StateWriter& state) override { Exchange(state); }
  void Restore(StateReader& state) override { Exchange(state); }

 private:
  // What a task that waits for its block request does next.
  enum Stage : uint8_t {
    kMove,           // a read or a write: the end
    kFlushAfter,     // a write that must be durable, over a device without FUA: a flush
    kFlush,          // the end
    kUnmap,          // the next descriptor
    kLbaStatus,      // the answer
    kVerifyFlush,    // as kFlushAfter, of WRITE AND VERIFY
    kVerifyWritten,  // the reading back
    kCompare,        // a part was read back: the next
    kRepeat,         // a part of WRITE SAME: the next
  };
  // The blocks that a command is about, and its flags.
  struct Range {
    uint64_t lba = 0;
    uint64_t blocks = 0;
    uint8_t flags = 0;      // byte 1 of the CDB, but for the 6-byte commands
    bool relative = false;  // RELADR is set, where there is such a bit
  };

  using Tasks = boost::intrusive::list<BlockRequest, boost::intrusive::constant_time_size<false>>;

  template <typename Archive>
  void Exchange(Archive& archive);

  static Range Range6(const ScsiTask& task);
  static Range Range10(const ScsiTask& task);
  static Range Range12(const ScsiTask& task);
  static Range Range16(const ScsiTask& task);
  bool Dispatch(ScsiTask& task);
  bool DispatchOther(ScsiTask& task);
  bool DispatchRare(ScsiTask& task);
  bool GoesOn(ScsiTask& task, BlockResult result);  // false: it ended
  bool SeesNewCapacity(ScsiTask& task);
  void Conclude(ScsiTask& task);

  uint32_t block_bytes() const { return uint32_t{1} << block_shift_; }
  uint64_t blocks() const { return reported_bytes_ >> block_shift_; }
  uint64_t last_block() const { return blocks() == 0 ? 0 : blocks() - 1; }
  bool Contains(const Range& range) const {
    return range.lba < blocks() && range.blocks <= blocks() - range.lba;
  }

  // disk_io.cc: moving data.
  bool Admits(ScsiTask& task, const Range& range);  // false: it ended
  bool Read(ScsiTask& task, const Range& range);
  bool Write(ScsiTask& task, const Range& range);
  bool Flush(ScsiTask& task);
  bool StartFlush(ScsiTask& task);
  bool Start(ScsiTask& task, Stage stage);
  Stage MakeDurable(ScsiTask& task) const;
  ScsiOutcome OutcomeOf(const ScsiTask& task, BlockResult result) const;

  // disk_provision.cc
  bool WriteSame(ScsiTask& task, const Range& range);
  bool Unmap(ScsiTask& task);
  bool NextUnmap(ScsiTask& task);
  bool GetLbaStatus(ScsiTask& task);
  bool AnswerLbaStatus(ScsiTask& task);

  // disk_buffer.cc
  bool Verify(ScsiTask& task, const Range& range);
  bool WriteAndVerify(ScsiTask& task, const Range& range);
  bool NextStage(ScsiTask& task);
  bool WithBuffer(ScsiTask& task, Stage stage);
  void StartNext();
  bool StartPart(ScsiTask& task);
  void LeaveBuffer(const ScsiTask& task);

  // disk_control.cc
  bool Inquire(ScsiTask& task);
  bool RequestSense(ScsiTask& task);
  bool StartStop(ScsiTask& task);
  bool ReadCapacity10(ScsiTask& task);
  bool ReadCapacity16(ScsiTask& task);
  bool ServiceActionIn(ScsiTask& task);
  bool ModeSense(ScsiTask& task, bool long_form);
  bool ModeSelect(ScsiTask& task, bool long_form);
  bool SendDiagnostic(ScsiTask& task);

  const std::shared_ptr<BlockDevice> device_;
  const DiskOptions options_;
  const uint32_t initiator_;
  const std::shared_ptr<Reservations> reservations_;  // null: not supported
  DiskIdentity identity_;
  uint32_t block_shift_ = 9;
  uint32_t physical_shift_ = 9;
  bool read_only_ = false;
  bool write_cache_ = false;    // what the guest is told
  bool write_through_ = false;  // every write is made durable
  bool unmap_ = false;
  std::unique_ptr<BlockQueue> queue_;
  uint64_t reported_bytes_ = 0;
  scsi::Sense latched_;
  Tasks waiting_;  // for the buffer
  ScsiTask* buffer_user_ = nullptr;
  std::unique_ptr<std::byte[]> buffer_;  // made when it is first needed
  BlockSegment buffer_segment_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_DISK_TARGET_H_
