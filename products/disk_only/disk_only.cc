#include "products/disk_only/disk_only.h"

#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "devices/storvsc/host/storvsc_host.h"
#include "devices/storvsc/host/storvsp.h"
#include "framework/interfaces/block_controller.h"
#include "framework/task/deadline.h"
#include "framework/task/one_shot.h"
#include "framework/task/spawn.h"
#include "products/disk_only/disk_only_drivers.h"
#include "products/session.h"

namespace vmbuskit {
namespace {

constexpr char kName[] = "disk_only";
constexpr size_t kShownBytes = 16;

struct Read final : BlockRequest {
  explicit Read(Executor& executor) : done(executor, "a read of the disk") {}
  void OnDone(BlockResult result) override { done.Set(result); }
  OneShot<BlockResult> done;
};

// What the guest does with its disks.
class DiskReader final : public DeviceObserver, public BlockControllerListener {
 public:
  void OnDeviceRunning(const RunningDevice& device) override {
    BlockController* const disks = device.device.block_controller();
    if (disks == nullptr) return;
    executor_ = &device.executor;
    if (!reads_) reads_.emplace(device.executor, "reads of the disk");
    disks->SetListener(this);
  }
  void OnDeviceStopping(const RunningDevice& device) override { (void)device; }

  void OnDiskAdded(const BlockAddress& address, std::shared_ptr<BlockDevice> disk) override {
    (void)address;
    reads_->Spawn(ReadFirstBlock(std::move(disk)));
  }
  // A read that is under way then ends by itself.
  void OnDiskRemoved(const BlockAddress& address) override { (void)address; }

  // What was read, in words.
  Task<absl::StatusOr<std::string>> Finish() {
    if (!reads_) co_return absl::UnavailableError("the guest has no storage controller");
    const absl::Status joined = co_await reads_->Join(DeadlineIn(*executor_));
    if (!joined.ok()) co_return joined;
    co_return found_;
  }

 private:
  Task<void> ReadFirstBlock(std::shared_ptr<BlockDevice> disk) {
    found_ = co_await Describe(*disk, *executor_);
  }

  static Task<absl::StatusOr<std::string>> Describe(BlockDevice& disk, Executor& executor) {
    const uint32_t bytes = disk.info().block_bytes;
    // Memory that the driver moves data to without a copy.
    const absl::StatusOr<BlockBuffer> buffer = disk.AllocateBuffer(bytes);
    if (!buffer.ok()) co_return buffer.status();
    const std::unique_ptr<BlockQueue> queue = disk.OpenQueue(executor);
    if (queue == nullptr) co_return absl::UnavailableError("the disk has no queue");
    const BlockSegment segment = {buffer->bytes().data(), bytes, buffer->gpa()};
    Read read(executor);
    read.operation = BlockOperation::kRead;
    read.bytes = bytes;
    read.segments = std::span(&segment, 1);
    queue->Submit(read);
    absl::StatusOr<BlockResult> result = co_await read.done.Wait();
    // It ends, by the driver's deadlines if not otherwise, and must not be left before.
    while (!result.ok()) result = co_await read.done.Wait();
    if (*result != BlockResult::kOk) {
      const std::string why(ToString(*result));
      co_return absl::DataLossError(absl::StrCat("a read of the first block ended with ", why));
    }
    const absl::string_view begin(reinterpret_cast<const char*>(buffer->bytes().data()),
                                  kShownBytes);
    co_return absl::StrCat("the guest's disk has ", disk.bytes(), " bytes; its first ",
                           begin.size(), " are ", absl::BytesToHexString(begin));
  }

  Executor* executor_ = nullptr;
  std::optional<TaskGroup> reads_;
  absl::StatusOr<std::string> found_ = absl::NotFoundError("the guest found no disk");
};

class DiskSession final : public Session {
 public:
  DiskSession(Options options, DiskReader& reader) : Session(std::move(options)), reader_(reader) {}

 private:
  Task<absl::Status> OnStopping() override {
    const absl::StatusOr<std::string> found = co_await reader_.Finish();
    if (found.ok()) {
      Say(*found);
    } else {
      End(found.status());
    }
    co_return absl::OkStatus();
  }

  DiskReader& reader_;
};

// A controller of the host with the disk as its LUN 0.
System::HostDevice ControllerOf(std::shared_ptr<BlockDevice> disk) {
  const VspClass& vsp_class = StorvscVspClass();
  return {.vsp_class = &vsp_class,
          .instance_id = vsp_class.default_instance_id,
          .create = [disk = std::move(disk)](VspContext& context) -> std::unique_ptr<Vsp> {
            auto vsp = std::make_unique<Storvsp>(context, StorvspOptions{});
            if (!vsp->Attach({.lun = 0}, disk).ok()) return nullptr;
            return vsp;
          }};
}

}  // namespace

int RunDiskOnly(std::shared_ptr<BlockDevice> disk, bool once) {
  DiskReader reader;
  Session::Options options;
  options.name = kName;
  options.once = once;
  options.system.cpus = 1;
  const auto classes = disk_only_drivers::DriverSetClasses();
  options.system.classes.assign(classes.begin(), classes.end());
  options.system.host_devices.push_back(ControllerOf(std::move(disk)));
  options.system.observer = &reader;
  DiskSession session(std::move(options), reader);
  return session.Run();
}

}  // namespace vmbuskit
