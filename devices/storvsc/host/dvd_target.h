// A DVD-ROM drive (ATAPI command set, the minimum that guests ask for) over a BlockDevice. Source: protocol 10
// section 7.2; its result shapes differ from a disk's.
//
//   vsp.Attach({.lun = 1}, image, {.unit = ScsiUnit::kDvd});
//
// A drive that starts with a medium reports "removed" at the first media poll (GET EVENT STATUS), has none until
// the next, and reports it as new there, as the reference's does. Of the reference's bugs GET CONFIGURATION's two
// lengths are put right (section 7.2).
//
// Thread safety: the executor. Lifetime: longer than its tasks. Units: blocks of 2048 bytes.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_DVD_TARGET_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_DVD_TARGET_H_

#include <cstdint>
#include <memory>

#include "devices/storvsc/host/scsi_target.h"
#include "framework/interfaces/block_device.h"
#include "platform/executor.h"

namespace vmbuskit {

class DvdTarget final : public ScsiTarget {
 public:
  static constexpr uint32_t kBlockBytes = 2048;

  DvdTarget(std::shared_ptr<BlockDevice> device, Executor& executor);
  // False: the device gives no queue for the executor; no command may come.
  bool usable() const { return queue_ != nullptr; }

  bool Execute(ScsiTask& task) override;
  void OnBlockDone(ScsiTask& task, BlockResult result) override;
  void Save(StateWriter& state) override { Exchange(state); }
  void Restore(StateReader& state) override { Exchange(state); }

 private:
  enum class MediaEvent : uint8_t { kNone = 0, kNew = 2, kRemoved = 3 };

  template <typename Archive>
  void Exchange(Archive& archive);

  uint64_t blocks() const { return device_->bytes() / kBlockBytes; }
  uint32_t last_block() const;
  uint16_t profile() const { return present_ ? 0x10 : 0; }
  uint8_t media_status() const {
    return static_cast<uint8_t>((tray_open_ ? 1 : 0) | (present_ ? 2 : 0));
  }
  ScsiOutcome NoMedium() const;

  bool Inquire(ScsiTask& task);
  bool RequestSense(ScsiTask& task);
  bool StartStop(ScsiTask& task);
  bool PreventAllow(ScsiTask& task);
  bool Read(ScsiTask& task, uint64_t lba, uint64_t blocks);
  bool GetEventStatus(ScsiTask& task);
  bool ModeSense(ScsiTask& task);

  // dvd_information.cc: what the medium and the drive are.
  bool Inform(ScsiTask& task);
  bool ReadCapacity(ScsiTask& task);
  bool ReadToc(ScsiTask& task);
  bool GetConfiguration(ScsiTask& task);
  bool ReadDiscInformation(ScsiTask& task);
  bool ReadTrackInformation(ScsiTask& task);
  bool GetPerformance(ScsiTask& task);
  bool ReadDvdStructure(ScsiTask& task);
  bool SetStreaming(ScsiTask& task);

  const std::shared_ptr<BlockDevice> device_;
  const std::unique_ptr<BlockQueue> queue_;
  bool present_ = true;
  bool tray_open_ = false;
  bool prevent_ = false;
  bool persistent_ = false;  // of PREVENT ALLOW
  MediaEvent event_ = MediaEvent::kRemoved;
  bool new_follows_ = true;  // after that event
};

namespace dvd {

constexpr ScsiOutcome Illegal(uint8_t asc, uint8_t ascq = 0) {
  return outcome::Check(storvsc::kSrbError, {scsi::kIllegalRequest, asc, ascq});
}
constexpr ScsiOutcome BadValue() { return outcome::CheckWithoutSense(storvsc::kSrbInvalidRequest); }
constexpr ScsiOutcome BadAllocation() {
  return outcome::CheckWithoutSense(storvsc::kSrbDataOverrun);
}
// `answer` cut to the allocation; a data overrun when there is no room for that.
inline bool End(ScsiTask& task, std::span<const std::byte> answer, uint32_t allocation) {
  if (allocation > task.data_bytes) return task.End(BadAllocation());
  return EndWithData(task, answer, allocation);
}

}  // namespace dvd

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_DVD_TARGET_H_
