#include "tools/vmbus/demo_disk.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/storvsc/host/file_disk.h"
#include "devices/storvsc/host/storvsc_host.h"
#include "devices/storvsc/host/storvsp.h"
#include "framework/base/status.h"
#include "framework/task/deadline.h"
#include "framework/task/one_shot.h"
#include "framework/task/sleep.h"
#include "platform/linux/child_program.h"
#include "platform/linux/linux_block_file.h"

namespace vmbuskit {
namespace {

constexpr char kImageSize[] = "8M";
constexpr int kFiles = 3;
constexpr size_t kFileBytes = 300'000;
constexpr size_t kReadBytes = 256 * 1024;
constexpr Duration kDiskLimit = std::chrono::seconds(30);
constexpr Duration kLookAgain = std::chrono::milliseconds(5);

// A folder that goes, with what is in it, when the object does.
class Scratch {
 public:
  Scratch() {
    std::error_code error;
    path_ = (std::filesystem::temp_directory_path(error) / "vmbus-demo-XXXXXX").string();
    if (error || mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  bool ok() const { return !path_.empty(); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

bool WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return file.flush().good();
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool MakeTree(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directory(path, error);
  for (int i = 0; i < kFiles && !error; ++i) {
    std::string bytes(kFileBytes, '\0');
    uint32_t noise = static_cast<uint32_t>(i) + 1;
    for (char& byte : bytes) byte = static_cast<char>((noise = noise * 1664525 + 1013904223) >> 24);
    if (!WriteFile(absl::StrCat(path, "/file", i), bytes)) return false;
  }
  return !error;
}

struct Read final : BlockRequest {
  explicit Read(Executor& executor) : done(executor, "a read of the demo's disk") {}
  void OnDone(BlockResult result) override { done.Set(result); }
  OneShot<BlockResult> done;
};

// Empty when e2fsck is not installed.
absl::StatusOr<std::string> CheckFileSystem(const std::string& bytes) {
  const std::string e2fsck = FindSystemProgram("e2fsck");
  if (e2fsck.empty()) return "; e2fsck is not installed";
  const Scratch scratch;
  const std::string path = scratch / "image";
  if (!scratch.ok() || !WriteFile(path, bytes)) {
    return absl::UnavailableError("there is no room for a copy of the demo's disk");
  }
  const absl::StatusOr<int> code = RunQuietly({e2fsck, "-fn", path});
  if (!code.ok()) return code.status();
  if (*code == 0) return ", and e2fsck finds nothing wrong";
  return absl::DataLossError(
      absl::StrCat("the demo's disk: e2fsck ended with ", *code, " on what the guest read"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<DemoDisk>> DemoDisk::Make() {
  const std::string mke2fs = FindSystemProgram("mke2fs");
  if (mke2fs.empty()) return absl::NotFoundError("mke2fs is not installed");
  const Scratch scratch;
  const std::string image = scratch / "image";
  const std::string tree = scratch / "tree";
  if (!scratch.ok() || !MakeTree(tree)) {
    return absl::UnavailableError("there is no room for temporary files");
  }
  const absl::StatusOr<int> code =
      RunQuietly({mke2fs, "-q", "-F", "-t", "ext4", "-d", tree, image, kImageSize});
  if (!code.ok()) return code.status();
  if (*code != 0) return absl::UnavailableError(absl::StrCat("mke2fs ended with ", *code));
  absl::StatusOr<std::unique_ptr<LinuxBlockFile>> file = LinuxBlockFile::Open(image, {});
  if (!file.ok()) return file.status();
  auto disk = std::make_shared<FileDisk>(*std::move(file),
                                         FileDisk::Options{.id = "vmbuskit demo's file system"});
  return std::unique_ptr<DemoDisk>(new DemoDisk(std::move(disk), ReadFile(image)));
}

std::string DemoDisk::Describe() const {
  return absl::StrCat("the storage controller has a disk of ", bytes_.size() >> 20,
                      " MiB with an ext4 file system of ", kFiles, " files, made by mke2fs");
}

System::HostDevice DemoDisk::HostDevice() const {
  const VspClass& vsp_class = StorvscVspClass();
  return {.vsp_class = &vsp_class,
          .instance_id = vsp_class.default_instance_id,
          .create = [image = image_](VspContext& context) -> std::unique_ptr<Vsp> {
            auto vsp = std::make_unique<Storvsp>(context, StorvspOptions{});
            if (!vsp->Attach({}, image, {}).ok()) return nullptr;
            return vsp;
          }};
}

void DemoDisk::OnDeviceRunning(const RunningDevice& device) {
  if (device.offer.instance_id != StorvscVspClass().default_instance_id) return;
  if (BlockController* disks = device.device.block_controller()) disks->SetListener(this);
}

void DemoDisk::OnDiskAdded(const BlockAddress& address, std::shared_ptr<BlockDevice> disk) {
  (void)address;
  const std::lock_guard lock(mutex_);
  disk_ = std::move(disk);
}

void DemoDisk::OnDiskRemoved(const BlockAddress& address) {
  (void)address;
  const std::lock_guard lock(mutex_);
  disk_.reset();
}

std::shared_ptr<BlockDevice> DemoDisk::GuestDisk() {
  const std::lock_guard lock(mutex_);
  return disk_;
}

Task<absl::Status> DemoDisk::AwaitDisk(Executor& executor, CancelScope& until_stop) {
  const Instant give_up = executor.Now() + kDiskLimit;
  while (GuestDisk() == nullptr) {
    if (executor.Now() >= give_up) {
      co_return absl::DeadlineExceededError(
          absl::StrCat("the demo's disk did not come up within ", FormatDuration(kDiskLimit)));
    }
    const Instant next = executor.Now() + kLookAgain;
    const absl::Status slept = co_await SleepUntilCancelled(executor, next, until_stop);
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::string>> DemoDisk::ReadAll(Executor& executor) {
  const std::shared_ptr<BlockDevice> disk = GuestDisk();
  if (disk == nullptr) co_return absl::UnavailableError("the demo's disk went away");
  absl::StatusOr<BlockBuffer> buffer = disk->AllocateBuffer(kReadBytes);
  if (!buffer.ok()) co_return buffer.status();
  const std::unique_ptr<BlockQueue> queue = disk->OpenQueue(executor);
  if (queue == nullptr) co_return absl::UnavailableError("the demo's disk has no queue");
  std::string bytes;
  while (bytes.size() < disk->bytes()) {
    const auto count =
        static_cast<uint32_t>(std::min<uint64_t>(kReadBytes, disk->bytes() - bytes.size()));
    const BlockSegment segment = {buffer->bytes().data(), count, buffer->gpa()};
    Read read(executor);
    read.offset = bytes.size();
    read.bytes = count;
    read.segments = std::span(&segment, 1);
    queue->Submit(read);
    absl::StatusOr<BlockResult> result = co_await read.done.Wait(DeadlineIn(executor));
    // It ends, by the driver's deadlines if not otherwise, and must not be left before.
    while (!result.ok()) result = co_await read.done.Wait(DeadlineIn(executor));
    if (*result != BlockResult::kOk) {
      const std::string_view why = ToString(*result);
      co_return absl::DataLossError(absl::StrCat("the demo's disk: a read at ", read.offset,
                                                 " ended with ", std::string(why)));
    }
    bytes.append(reinterpret_cast<const char*>(buffer->bytes().data()), count);
  }
  co_return bytes;
}

Task<absl::StatusOr<std::string>> DemoDisk::Verify(Executor& executor, CancelScope& until_stop) {
  const absl::Status there = co_await AwaitDisk(executor, until_stop);
  if (!there.ok()) co_return there;
  const absl::StatusOr<std::string> bytes = co_await ReadAll(executor);
  if (!bytes.ok()) co_return bytes.status();
  if (*bytes != bytes_) {
    co_return absl::DataLossError("the demo's disk: the guest read other bytes than mke2fs wrote");
  }
  const absl::StatusOr<std::string> checked = CheckFileSystem(*bytes);
  if (!checked.ok()) co_return checked.status();
  co_return absl::StrCat("the guest read its file system through storvsc: the same ", bytes->size(),
                         " bytes", *checked);
}

}  // namespace vmbuskit
