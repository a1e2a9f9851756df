#include "devices/storvsc/host/storvsp_luns.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "devices/storvsc/scsi.h"

namespace vmbuskit {
namespace {

std::string Describe(const BlockAddress& address) {
  return absl::StrCat("path ", address.path, " target ", address.target, " lun ", address.lun);
}

}  // namespace

absl::Status StorvspLuns::Attach(const BlockAddress& address, std::unique_ptr<ScsiTarget> target) {
  const auto [place, is_new] = attached_.try_emplace(address);
  if (!is_new) {
    return absl::AlreadyExistsError(absl::StrCat("disk at ", Describe(address), ": there is one"));
  }
  place->second = std::make_unique<StorvspLun>(address, std::move(target));
  if (address.path == 0 && address.target == 0) first_[address.lun] = place->second.get();
  return absl::OkStatus();
}

absl::Status StorvspLuns::Detach(const BlockAddress& address) {
  const auto found = attached_.find(address);
  if (found == attached_.end()) {
    return absl::NotFoundError(absl::StrCat("disk at ", Describe(address), ": there is none"));
  }
  if (address.path == 0 && address.target == 0) first_[address.lun] = nullptr;
  if (found->second->under_way != 0) retired_.push_back(std::move(found->second));
  attached_.erase(found);
  return absl::OkStatus();
}

void StorvspLuns::DetachAll() {
  while (!attached_.empty()) (void)Detach(attached_.begin()->first);
}

void StorvspLuns::Reap() {
  std::erase_if(retired_, [](const auto& lun) { return lun->under_way == 0; });
}

// The allocation length of the CDB does not count, as with the reference's host: the buffer does.
void StorvspLuns::EndReportLuns(uint8_t path, uint8_t target, ScsiTask& task) const {
  std::array<std::byte, 8 + 8 * 256> list{};
  uint32_t bytes = 8;
  for (const auto& [address, lun] : attached_) {
    if (address.path != path || address.target != target) continue;
    scsi::WriteBig16(&list[bytes], address.lun);
    bytes += 8;
  }
  scsi::WriteBig32(list.data(), bytes - 8);
  if (task.data_bytes < 8) {
    task.End(outcome::Good());
    return;
  }
  (void)EndWithData(task, std::span(list).first(bytes), task.data_bytes);
}

}  // namespace vmbuskit
