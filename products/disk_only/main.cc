#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/storvsc/host/file_disk.h"
#include "platform/linux/linux_block_file.h"
#include "products/disk_only/disk_only.h"
#include "products/product_main.h"

int main(int argc, char** argv) {
  using vmbuskit::FileDisk;
  using vmbuskit::LinuxBlockFile;
  const bool once = argc == 3 && std::string_view(argv[2]) == "--once";
  if (argc != 2 && !once) {
    vmbuskit::PrintError("usage: disk_only IMAGE [--once]\n");
    return vmbuskit::kProductUsageExitCode;
  }
  absl::StatusOr<std::unique_ptr<LinuxBlockFile>> file = LinuxBlockFile::Open(argv[1], {});
  if (!file.ok()) {
    vmbuskit::PrintError(absl::StrCat("disk_only: ", file.status().message(), "\n"));
    return 1;
  }
  auto disk = std::make_shared<FileDisk>(*std::move(file), FileDisk::Options{.id = argv[1]});
  return vmbuskit::RunDiskOnly(std::move(disk), once);
}
