#include "tools/vmbus/back_end.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/storvsc/host/null_disk.h"
#include "devices/storvsc/host/ram_disk.h"
#include "platform/linux/linux_block_file.h"

namespace vmbuskit {
namespace {

// The same for the same disk in every run, and another one for every disk of a machine.
std::string IdOf(const DiskSpec& spec) {
  return absl::StrCat("vmbuskit ", spec.Text(), " ", spec.export_name.value_or(""));
}

const char* TextOf(int error) {
  return error == ENODATA ? "it has become shorter" : std::strerror(error);
}

absl::StatusOr<BackEnd> OpenFile(const DiskSpec& spec) {
  absl::StatusOr<std::unique_ptr<LinuxBlockFile>> file = LinuxBlockFile::Open(
      spec.source,
      {.read_only = spec.read_only,
       .direct = spec.direct,
       .engine = spec.threads ? LinuxBlockFile::Engine::kThreads : LinuxBlockFile::Engine::kBest});
  if (!file.ok()) return file.status();
  auto disk = std::make_shared<FileDisk>(
      *std::move(file), FileDisk::Options{.block_bytes = spec.block_bytes, .id = IdOf(spec)});
  if (disk->bytes() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(spec.source, " is smaller than a block of ", spec.block_bytes, " bytes"));
  }
  BackEnd back_end;
  back_end.disk = back_end.file = std::move(disk);
  back_end.source = spec.source;
  return back_end;
}

}  // namespace

std::string BackEnd::TakeComplaint() {
  if (file == nullptr) return {};
  if (file->sync_error() != 0 && !std::exchange(complained_of_sync, true)) {
    complained = true;
    return absl::StrCat(source, ": a sync failed (", std::strerror(file->sync_error()),
                        "): what was written may be lost, and no flush succeeds until a restart");
  }
  const int error = file->first_error();
  if (error == 0 || std::exchange(complained, true)) return {};
  return absl::StrCat(source, ": ", TextOf(error));
}

void BackEnd::Inspect(InspectNode& node) const {
  node.Set("source", source);
  node.Set("bytes", disk->bytes());
  if (file != nullptr && file->first_error() != 0) {
    node.Set("first_error", TextOf(file->first_error()));
  }
  if (nbd != nullptr) node.Set("reconnects", nbd->reconnects());
}

absl::StatusOr<BackEnd> OpenBackEnd(const DiskSpec& spec) {
  BackEnd back_end;
  back_end.source = spec.Text();
  switch (spec.kind) {
    case DiskSpec::Kind::kFile:
      return OpenFile(spec);
    case DiskSpec::Kind::kRam:
      if (spec.bytes > RamDisk::kBytesMax) {
        return absl::InvalidArgumentError(
            absl::StrCat(spec.Text(), ": at most ", RamDisk::kBytesMax, " bytes"));
      }
      back_end.disk = std::make_shared<RamDisk>(RamDisk::Options{.bytes = spec.bytes,
                                                                 .block_bytes = spec.block_bytes,
                                                                 .read_only = spec.read_only,
                                                                 .id = IdOf(spec)});
      return back_end;
    case DiskSpec::Kind::kNull:
      back_end.disk = std::make_shared<NullDisk>(
          NullDisk::Options{.bytes = spec.bytes, .block_bytes = spec.block_bytes});
      return back_end;
    case DiskSpec::Kind::kNbd: {
      absl::StatusOr<std::shared_ptr<NbdDisk>> disk = NbdDisk::Open(
          spec.source,
          {.block_bytes = spec.block_bytes, .read_only = spec.read_only, .id = IdOf(spec)});
      if (!disk.ok()) return disk.status();
      back_end.disk = back_end.nbd = *std::move(disk);
      return back_end;
    }
  }
  return absl::InvalidArgumentError("no such kind of disk");
}

}  // namespace vmbuskit
