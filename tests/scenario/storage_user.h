// Users of the disks of the storage workload: each has one queue on one executor and asks for reads, writes, flushes,
// discards, zeros and status at random, checks what it gets against the model of the disk, and its own memory for bytes
// that somebody wrote too late.
//
//   StorageDisk disk(faults, plan);
//   StorageUser user(disk, cpu, {.persistent = true, .seed = 7});
//   disk.SetGuestDisk(std::move(scsi_disk));       // the guest has it now; null: not any more
//   user.StartRound(20);
//   ...
//   user.Release();                                // ends when released()
//
// Thread safety: the scheduler's thread; a user's own calls on its executor. Lifetime: the disk outlives its users;
// users are released before the guest's memory goes.
#ifndef VMBUSKIT_TESTS_SCENARIO_STORAGE_USER_H_
#define VMBUSKIT_TESTS_SCENARIO_STORAGE_USER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "framework/interfaces/block_controller.h"
#include "framework/interfaces/block_device.h"
#include "framework/interfaces/persistent_block_device.h"
#include "platform/executor.h"
#include "platform/random.h"
#include "tests/scenario/disk_model.h"
#include "tests/scenario/fault_source.h"
#include "tests/scenario/sim_disk.h"

namespace vmbuskit {

class StorageUser;

// A disk from end to end: what the host has it on, what it must hold, what the guest sees of it.
class StorageDisk {
 public:
  struct Plan {
    std::string name;
    BlockAddress address;
    SimDisk::Options options;
    bool changes_size = false;
  };
  struct Figures {
    uint64_t submitted = 0;
    uint64_t ended = 0;
  };

  StorageDisk(FaultSource& faults, const Plan& plan);

  FaultSource& faults() { return faults_; }
  const Plan& plan() const { return plan_; }
  const std::shared_ptr<SimDisk>& storage() { return storage_; }
  DiskModel& model() { return model_; }
  Figures& figures() { return figures_; }

  // On any executor of the guest.
  void SetGuestDisk(std::shared_ptr<BlockDevice> disk);
  // The guest is another one.
  void ForgetGuest();
  std::shared_ptr<BlockDevice> guest_disk(bool persistent) const;
  void AddUser(StorageUser& user) { users_.push_back(&user); }

  // Foreign bytes are about; and not any more.
  void Harm();
  void Renew() { harmed_ = false; }
  bool harmed() const { return harmed_; }
  // The guest is dying: what it has under way may be lost without anybody's fault.
  bool guest_dies = false;

  bool attached = true;  // to its controller

  // Nothing is under way: every block is what the model says.
  void CheckAtRest();
  void Wrong(const std::string& what);

 private:
  FaultSource& faults_;
  const Plan plan_;
  const std::shared_ptr<SimDisk> storage_;
  DiskModel model_;
  Figures figures_;
  std::shared_ptr<BlockDevice> guest_;
  std::shared_ptr<PersistentBlockDevice> persistent_;
  std::vector<StorageUser*> users_;
  bool harmed_ = false;
};

class StorageUser {
 public:
  struct Options {
    bool persistent = false;
    uint32_t depth = 4;
    uint64_t seed = 1;
  };

  StorageUser(StorageDisk& disk, Executor& executor, const Options& options);
  ~StorageUser();
  StorageUser(const StorageUser&) = delete;
  StorageUser& operator=(const StorageUser&) = delete;

  // Between turns, or on any executor.
  void Wake() { wake_.Signal(); }
  void StartRound(uint32_t requests);
  // From now on it lets go of everything.
  void Release();
  bool released() const { return device_ == nullptr && queue_ == nullptr; }
  bool idle() const { return outstanding_ == 0 && (left_ == 0 || queue_ == nullptr); }

 private:
  static constexpr uint32_t kSlotBytes = 24 * 1024;
  static constexpr uint32_t kSlots = 6;
  static constexpr uint32_t kSegments = 6;
  static constexpr uint32_t kExtents = 6;

  struct Slot final : BlockRequest {
    void OnDone(BlockResult with) override { user->OnDone(*this, with); }

    StorageUser* user = nullptr;
    bool under_way = false;
    bool unusable = false;  // its memory was lost
    bool was_used = false;
    uint64_t first = 0;  // blocks
    uint64_t count = 0;
    uint64_t since = 0;  // of a read or flush, by the model's clock
    DiskModel::Write write;
    std::array<BlockSegment, kSegments> parts;
    size_t part_count = 0;
    std::array<BlockExtent, kExtents> extent_space;
  };

  void OnWake();
  void OnPauseEnd();
  void LetGo();
  void Take(std::shared_ptr<BlockDevice> device);
  void Pump();
  bool Ask();
  void DrawOperation(Slot& slot);
  void DrawRange(Slot& slot);
  void DrawSegments(Slot& slot);
  void FillSegments(Slot& slot);
  void OnDone(Slot& slot, BlockResult result);
  void EndWell(Slot& slot);
  void CheckRead(Slot& slot);
  void CheckStatus(const Slot& slot);
  void CheckResult(const Slot& slot, BlockResult result);
  void Spoil(Slot& slot);
  bool Unspoilt(const Slot& slot) const;
  std::byte* MemoryOf(const Slot& slot, bool guest) const;
  uint32_t block_bytes() const;

  StorageDisk& disk_;
  Executor& executor_;
  const Options options_;
  Random random_;
  std::shared_ptr<BlockDevice> device_;
  std::unique_ptr<BlockQueue> queue_;
  BlockBuffer guest_memory_;
  BlockBuffer heap_memory_;
  std::array<Slot, kSlots> slots_;
  std::array<std::byte, kSlotBytes> flat_;
  uint32_t outstanding_ = 0;
  uint32_t left_ = 0;
  bool releasing_ = false;
  bool pause_ = false;
  Event wake_;
  Timer next_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_STORAGE_USER_H_
