// Controllers of storvsc with disks that forget what was not flushed, and users of those disks in the guest.
#include <array>
#include <cassert>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "devices/storvsc/host/storvsc_host.h"
#include "devices/storvsc/host/storvsp.h"
#include "devices/storvsc/storvsc.h"
#include "tests/scenario/storage_plan.h"
#include "tests/scenario/storage_user.h"
#include "tests/scenario/workload.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kRequestsMax = 32;  // of a user in a round

class StorageWorkload;
StorageWorkload* current_workload = nullptr;

constexpr Guid kScsiClassIds[] = {storvsc::kScsiClassId};
constexpr Guid kIdeClassIds[] = {storvsc::kIdeClassId};

std::unique_ptr<Device> CreateScsi(DeviceContext& context);
std::unique_ptr<Device> CreateIde(DeviceContext& context);

constexpr VspClass kIdeVspClass = {.name = "storvsc_ide",
                                   .class_id = storvsc::kIdeClassId,
                                   .default_instance_id = storvsc::kIdeClassId};

// A controller from end to end.
class StorageController final : public BlockControllerListener {
 public:
  StorageController(FaultSource& faults, const StoragePlan::Controller& plan) : plan_(plan) {
    for (const StoragePlan::Disk& disk : plan.disks) {
      disks_.push_back(std::make_unique<StorageDisk>(faults, disk.disk));
    }
  }

  std::vector<std::unique_ptr<StorageDisk>>& disks() { return disks_; }
  bool ide() const { return plan_.host.kind == StorvspOptions::Kind::kIde; }
  bool plugs() const { return !ide() && plan_.host.version_max >= storvsc::kVersion4_2; }

  absl::StatusOr<DeviceId> Offer(EmbeddedHost& host) {
    return host.AddDevice(ide() ? kIdeVspClass : StorvscVspClass(), plan_.instance,
                          [this](VspContext& context) { return MakeVsp(context); });
  }

  absl::Status Attach(Storvsp& vsp, size_t disk) {
    return vsp.Attach(plan_.disks[disk].disk.address, disks_[disk]->storage(),
                      plan_.disks[disk].options);
  }

  // The guest's view is the host's.
  bool agrees() const {
    for (const auto& disk : disks_) {
      if ((disk->guest_disk(false) != nullptr) != disk->attached) return false;
    }
    return true;
  }

  void OnDiskAdded(const BlockAddress& address, std::shared_ptr<BlockDevice> disk) override {
    if (StorageDisk* found = Find(address)) found->SetGuestDisk(std::move(disk));
  }
  void OnDiskRemoved(const BlockAddress& address) override {
    if (StorageDisk* found = Find(address)) found->SetGuestDisk(nullptr);
  }

  bool running = false;  // in the guest

 private:
  std::unique_ptr<Vsp> MakeVsp(VspContext& context) {
    auto vsp = std::make_unique<Storvsp>(context, plan_.host);
    for (size_t i = 0; i < disks_.size(); ++i) {
      if (!disks_[i]->attached) continue;
      if (const absl::Status attached = Attach(*vsp, i); !attached.ok()) {
        disks_[i]->faults().Report(attached);
      }
    }
    return vsp;
  }

  StorageDisk* Find(const BlockAddress& address) {
    for (const auto& disk : disks_) {
      const BlockAddress& at = disk->plan().address;
      if (at.target == address.target && at.lun == address.lun &&
          (ide() || at.path == address.path))
        return disk.get();
    }
    if (!disks_[0]->harmed()) disks_[0]->Wrong("has a neighbour that nobody attached");
    return nullptr;
  }

  const StoragePlan::Controller& plan_;
  std::vector<std::unique_ptr<StorageDisk>> disks_;
};

class StorageWorkload final : public Workload, private DeviceObserver {
 public:
  explicit StorageWorkload(FaultSource& faults)
      : faults_(faults), plan_(StoragePlan::Draw(faults.random(), faults.plan())) {
    assert(current_workload == nullptr);
    current_workload = this;
    for (const StoragePlan::Controller& controller : plan_.controllers) {
      controllers_.push_back(std::make_unique<StorageController>(faults, controller));
    }
    scsi_class_ = ClassOf("storvsc", kScsiClassIds, &CreateScsi);
    ide_class_ = ClassOf("storvsc_ide", kIdeClassIds, &CreateIde);
  }
  ~StorageWorkload() override { current_workload = nullptr; }

  const StoragePlan& plan() const { return plan_; }

  std::span<const DeviceClass* const> classes() const override { return classes_; }
  uint32_t device_count() const override { return static_cast<uint32_t>(controllers_.size()); }
  Guid instance(uint32_t device) const override { return plan_.controllers[device].instance; }

  absl::StatusOr<DeviceId> Offer(EmbeddedHost& host, uint32_t device) override {
    Renew(device);
    return controllers_[device]->Offer(host);
  }

  void StartRound(SimScheduler&) override {
    for (const auto& user : users_) {
      user->StartRound(static_cast<uint32_t>(1 + faults_.random().Below(kRequestsMax)));
    }
  }

  bool idle() const override {
    for (const auto& user : users_) {
      if (user->idle()) continue;
      faults_.Note("a user is busy");
      return false;
    }
    for (const auto& controller : controllers_) {
      for (const auto& disk : controller->disks()) {
        if (disk->storage()->under_way() != 0) return false;
      }
      const bool harmed = controller->disks()[0]->harmed();
      if (!controller->running || harmed || controller->agrees()) continue;
      faults_.Note("guest and host have other disks at ", controller->disks()[0]->plan().name);
      return false;
    }
    return true;
  }

  void CheckQuiescent(EmbeddedHost&, uint32_t device, DeviceId) override {
    for (const auto& disk : controllers_[device]->disks()) disk->CheckAtRest();
  }

  void CheckEnded() override {
    EachDisk([](StorageDisk& disk) {
      const StorageDisk::Figures& figures = disk.figures();
      if (figures.submitted != figures.ended) {
        disk.Wrong(absl::StrCat("took ", figures.submitted, " requests and ended ", figures.ended));
      }
      if (!disk.harmed() && disk.storage()->under_way() != 0) {
        disk.Wrong("has the memory of a guest that has gone");
      }
    });
  }

  void Harm(uint32_t device) override {
    for (const auto& disk : controllers_[device]->disks()) disk->Harm();
  }
  void Renew(uint32_t device) override {
    for (const auto& disk : controllers_[device]->disks()) disk->Renew();
  }

  void CountResets(const StorvscController::Counters& counters) {
    lun_resets_ += counters.lun_resets;
    bus_resets_ += counters.bus_resets;
  }

  Figures figures() const override {
    Figures figures{.lun_resets = lun_resets_, .bus_resets = bus_resets_};
    for (const auto& controller : controllers_) {
      for (const auto& disk : controller->disks()) figures.packets += disk->figures().ended;
    }
    return figures;
  }

  DeviceObserver* observer() override { return this; }

  void OnBoot(std::span<SimExecutor* const> cpus) override {
    Random& random = faults_.random();
    EachDisk([&](StorageDisk& disk) {
      disk.ForgetGuest();
      disk.guest_dies = false;
      const uint64_t users = 1 + random.Below(2);
      for (uint64_t i = 0; i < users; ++i) {
        // A disk whose size changes is another one for those who want the same.
        users_.push_back(std::make_unique<StorageUser>(
            disk, *cpus[random.Below(cpus.size())],
            StorageUser::Options{.persistent = !disk.plan().changes_size && random.OneIn(2),
                                 .depth = static_cast<uint32_t>(1 + random.Below(5)),
                                 .seed = random.Next()}));
        disk.AddUser(*users_.back());
        users_.back()->StartRound(static_cast<uint32_t>(1 + random.Below(kRequestsMax)));
      }
    });
    for (const auto& controller : controllers_) controller->running = false;
  }

  void ReleaseGuest(SimScheduler& sim) override {
    for (const auto& user : users_) user->Release();
    const auto released = [&] {
      for (const auto& user : users_) {
        if (!user->released()) return false;
      }
      return true;
    };
    if (!sim.RunUntil(released, std::chrono::minutes(10))) {
      faults_.Report(absl::InternalError("a request did not end though its guest did"));
      for (auto& user : users_) (void)user.release();  // they would not let themselves be destroyed
    }
    users_.clear();
    EachDisk([&](StorageDisk& disk) {
      disk.ForgetGuest();
      if (disk.guest_dies) disk.storage()->DropRequests(sim);
    });
  }

  // A guest that is reset takes its I/O with it; half of the time the power fails.
  void BeginCrash(SimScheduler& sim, bool without_a_word) override {
    EachDisk([&](StorageDisk& disk) {
      disk.guest_dies = true;
      if (without_a_word) disk.storage()->DropRequests(sim);
    });
  }
  void EndCrash() override {
    const bool power = faults_.random().OneIn(2);
    faults_.Note("the guest is dead", power ? "" : ", and the power fails");
    EachDisk([&](StorageDisk& disk) {
      disk.model().Settle();
      if (power) return;
      disk.storage()->LosePower();
      disk.model().LosePower();
    });
  }

  // What outlives its controller ends with its work.
  void ReleaseHost(SimScheduler& sim) override {
    EachDisk([&](StorageDisk& disk) { disk.storage()->DropRequests(sim); });
    faults_.Report(sim.RunUntilIdle());
  }

  bool has_disturbances() const override { return true; }
  bool harm_spreads() const override { return true; }
  bool holds_memory() const override { return true; }

  void Disturb(EmbeddedHost& host, uint32_t device, DeviceId id, Random& random) override {
    StorageController& controller = *controllers_[device];
    const size_t index = random.Below(controller.disks().size());
    StorageDisk& disk = *controller.disks()[index];
    if (random.OneIn(3)) return Resize(disk, random);
    if (!controller.plugs()) return;
    auto& vsp = static_cast<Storvsp&>(*host.FindVsp(id));
    faults_.Note("host ", disk.attached ? "takes away" : "attaches", " disk ", disk.plan().name);
    faults_.Report(disk.attached ? vsp.Detach(disk.plan().address) : controller.Attach(vsp, index));
    disk.attached = !disk.attached;
  }

 private:
  template <typename Call>
  void EachDisk(Call call) {
    for (const auto& controller : controllers_) {
      for (const auto& disk : controller->disks()) call(*disk);
    }
  }

  DeviceClass ClassOf(std::string_view name, std::span<const Guid> ids,
                      std::unique_ptr<Device> (*create)(DeviceContext&)) const {
    DeviceClass device_class = StorvscClassTemplate();
    device_class.name = name;
    device_class.class_ids = ids;
    device_class.send_ring_bytes = plan_.send_ring_bytes;
    device_class.receive_ring_bytes = plan_.receive_ring_bytes;
    device_class.max_requests = plan_.requests_max;
    device_class.create = create;
    return device_class;
  }

  void Resize(StorageDisk& disk, Random& random) {
    if (!disk.plan().changes_size) return;
    const uint64_t was = disk.storage()->block_count();
    const uint64_t blocks = random.OneIn(3) ? 8 + was / 16 * 8 : was + 8 * random.Below(16);
    faults_.Note("disk ", disk.plan().name, " has ", blocks, " blocks now, had ", was);
    disk.storage()->Resize(blocks);
    disk.model().Cut(std::min(blocks, was));
  }

  // DeviceObserver.
  void OnDeviceRunning(const RunningDevice& device) override {
    StorageController& controller = Of(device);
    controller.running = true;
    device.device.block_controller()->SetListener(&controller);
  }
  void OnDeviceStopping(const RunningDevice& device) override { Of(device).running = false; }

  StorageController& Of(const RunningDevice& device) {
    size_t index = 0;
    while (plan_.controllers[index].instance != device.offer.instance_id) ++index;
    return *controllers_[index];
  }

  FaultSource& faults_;
  const StoragePlan plan_;
  std::vector<std::unique_ptr<StorageController>> controllers_;
  std::vector<std::unique_ptr<StorageUser>> users_;
  uint64_t lun_resets_ = 0;
  uint64_t bus_resets_ = 0;
  DeviceClass scsi_class_;
  DeviceClass ide_class_;
  const std::array<const DeviceClass*, 2> classes_ = {&scsi_class_, &ide_class_};
};

// Hands its counters over when it goes, in whichever way.
class CountedController final : public StorvscController {
 public:
  using StorvscController::StorvscController;
  ~CountedController() override { current_workload->CountResets(counters()); }
};

std::unique_ptr<Device> CreateScsi(DeviceContext& context) {
  return std::make_unique<CountedController>(context, current_workload->plan().scsi);
}

std::unique_ptr<Device> CreateIde(DeviceContext& context) {
  StorvscProfile profile;
  profile.topology = {.paths = 1,
                      .first_target = context.offer().instance_id.bytes[4],
                      .targets = 1,
                      .luns = 1,
                      .report_luns = false};
  profile.subchannels = false;
  return std::make_unique<CountedController>(context, profile);
}

}  // namespace

std::unique_ptr<Workload> MakeStorageWorkload(FaultSource& faults) {
  return std::make_unique<StorageWorkload>(faults);
}

}  // namespace vmbuskit
