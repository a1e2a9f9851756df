#include "tools/vmbus/machine_disks.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "tools/vmbus/machine_host.h"

namespace vmbuskit {

class MachineDisks::Controller final : public BlockControllerListener {
 public:
  struct Entry {
    BlockAddress address;
    std::string name;
    std::shared_ptr<PersistentBlockDevice> disk;  // null: was not seen yet
  };

  Controller(MachineDisks& owner, const ControllerSpec& spec, size_t index)
      : instance(ControllerInstance(spec.kind, index)), owner_(owner) {
    for (const DiskSpec& disk : spec.disks) {
      entries.push_back({AddressOf(disk),
                         absl::StrCat(disk.export_name.value_or(""), " (", disk.Text(), ")"),
                         nullptr});
    }
  }

  void OnDiskAdded(const BlockAddress& address, std::shared_ptr<BlockDevice> device) override {
    const std::lock_guard lock(owner_.mutex_);
    Entry* const entry = Find(address);
    if (entry == nullptr) return;
    if (entry->disk == nullptr) {
      entry->disk = std::make_shared<PersistentBlockDevice>(std::move(device),
                                                            PersistentBlockDevice::Options{});
      return;
    }
    const absl::Status attached = entry->disk->Attach(std::move(device));
    if (!attached.ok()) {
      owner_.complaints_.push_back(absl::StrCat(entry->name, " came back: ", attached.message()));
    }
  }

  void OnDiskRemoved(const BlockAddress& address) override {
    const std::lock_guard lock(owner_.mutex_);
    Entry* const entry = Find(address);
    if (entry != nullptr && entry->disk != nullptr) entry->disk->Detach();
  }

  const Guid instance;
  std::vector<Entry> entries;

 private:
  Entry* Find(const BlockAddress& address) {
    for (Entry& entry : entries) {
      if (entry.address == address) return &entry;
    }
    return nullptr;
  }

  MachineDisks& owner_;
};

MachineDisks::MachineDisks(const Machine& machine) {
  for (size_t c = 0; c < machine.controllers.size(); ++c) {
    controllers_.push_back(std::make_unique<Controller>(*this, machine.controllers[c], c));
  }
}

MachineDisks::~MachineDisks() = default;

std::string MachineDisks::Missing() const {
  const std::lock_guard lock(mutex_);
  for (const std::unique_ptr<Controller>& controller : controllers_) {
    for (const Controller::Entry& entry : controller->entries) {
      if (entry.disk == nullptr) return entry.name;
    }
  }
  return {};
}

std::shared_ptr<BlockDevice> MachineDisks::Find(size_t controller, size_t disk) const {
  const std::lock_guard lock(mutex_);
  return controllers_[controller]->entries[disk].disk;
}

std::vector<std::string> MachineDisks::TakeComplaints() {
  const std::lock_guard lock(mutex_);
  return std::exchange(complaints_, {});
}

void MachineDisks::OnDeviceRunning(const RunningDevice& device) {
  BlockController* const found = device.device.block_controller();
  if (found == nullptr) return;
  for (const std::unique_ptr<Controller>& controller : controllers_) {
    if (controller->instance == device.offer.instance_id) found->SetListener(controller.get());
  }
}

}  // namespace vmbuskit
