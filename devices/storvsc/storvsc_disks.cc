#include "devices/storvsc/storvsc_disks.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

// The channel ended, or there are no pages: a LUN that misbehaves has other codes (lun_probe.h).
bool EndsScan(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status);
}

// A serial number that could not be had this time says nothing about a disk with an id.
bool SameSerial(const DiskFacts& a, const DiskFacts& b) {
  return a.serial == b.serial || (!a.id.empty() && (a.serial.empty() || b.serial.empty()));
}

bool SameDisk(const DiskFacts& a, const DiskFacts& b) {
  return a.id == b.id && SameSerial(a, b) && a.inquiry.device_type == b.inquiry.device_type &&
         a.inquiry.vendor == b.inquiry.vendor && a.inquiry.product == b.inquiry.product &&
         a.capacity.block_bytes == b.capacity.block_bytes;
}

std::string Text(const BlockAddress& address) {
  return absl::StrCat(address.path, ":", address.target, ":", address.lun);
}

}  // namespace

StorvscDisks::StorvscDisks(DeviceContext& context, LunProbe& probe, const StorvscTopology& topology,
                           std::shared_ptr<ScsiLanes> lanes, std::shared_ptr<SharedEvent> attention)
    : context_(context),
      probe_(probe),
      topology_(topology),
      lanes_(std::move(lanes)),
      attention_(std::move(attention)) {}

void StorvscDisks::SetListener(BlockControllerListener* listener) {
  listener_ = listener;
  if (listener == nullptr) return;
  for (const auto& [address, lun] : luns_) {
    if (lun.disk != nullptr) listener->OnDiskAdded(address, lun.disk);
  }
}

std::vector<BlockAddress> StorvscDisks::Addresses() const {
  std::vector<BlockAddress> addresses;
  for (const auto& [address, lun] : luns_) addresses.push_back(address);
  return addresses;
}

// ---- Scanning.

Task<absl::Status> StorvscDisks::Scan() {
  ++scans_;
  in_doubt_ = false;
  absl::Status checked = co_await CheckKnown();
  if (!checked.ok()) co_return checked;
  for (uint32_t path = 0; path < topology_.paths; ++path) {
    for (uint32_t i = 0; i < topology_.targets && !retired_; ++i) {
      absl::Status scanned = co_await ScanTarget(static_cast<uint8_t>(path),
                                                 static_cast<uint8_t>(topology_.first_target + i));
      if (!scanned.ok()) co_return scanned;
    }
  }
  co_return absl::OkStatus();
}

Task<absl::Status> StorvscDisks::CheckKnown() {
  const std::vector<BlockAddress> known = Addresses();
  // Those that are gone first, before the time that a look at the others takes.
  for (const BlockAddress& address : known) {
    absl::StatusOr<bool> there = co_await probe_.IsThere(address);
    if (!there.ok()) co_return there.status();
    if (!*there) Remove(address);
  }
  for (const BlockAddress& address : known) {
    absl::Status checked = co_await CheckOne(address);
    if (!checked.ok()) co_return checked;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> StorvscDisks::CheckOne(BlockAddress address) {
  absl::StatusOr<std::optional<InquiryFacts>> inquiry = co_await probe_.Inquire(address);
  if (!inquiry.ok()) co_return Doubt(inquiry.status());
  if (!luns_.contains(address)) co_return absl::OkStatus();
  if (!inquiry->has_value()) {
    Remove(address);
    co_return absl::OkStatus();
  }
  absl::StatusOr<DiskFacts> facts = co_await Identify(address, **inquiry);
  if (!facts.ok()) {
    absl::Status ends = Doubt(facts.status());
    // A disk that cannot say now what it is, is taken for what it was.
    if (!ends.ok() || absl::IsAborted(facts.status())) co_return ends;
    if (absl::IsNotFound(facts.status())) {
      Remove(address);
      co_return absl::OkStatus();
    }
  }
  const auto found = luns_.find(address);
  if (found == luns_.end()) co_return absl::OkStatus();
  Lun& lun = found->second;
  if (facts.ok() && lun.disk != nullptr && SameDisk(*facts, lun.facts)) {
    const bool resized = facts->capacity.blocks != lun.facts.capacity.blocks;
    if (facts->serial.empty()) facts->serial = lun.facts.serial;
    lun.facts = *std::move(facts);
    if (resized) {
      ++resized_;
      lun.disk->Resize(lun.facts.capacity.bytes());
      if (listener_ != nullptr) listener_->OnDiskResized(address);
    }
    co_return absl::OkStatus();
  }
  Unpublish(address, lun);
  lun.facts = {};
  lun.facts.inquiry = **inquiry;
  Adopt(address, lun, std::move(facts));
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::vector<uint8_t>>> StorvscDisks::LunsOf(uint8_t path, uint8_t target) {
  if (!topology_.report_luns) co_return std::vector<uint8_t>{0};
  absl::StatusOr<std::vector<uint8_t>> reported = co_await probe_.ReportLuns(path, target);
  const absl::StatusCode code = reported.status().code();
  const bool failed = code == absl::StatusCode::kUnknown;
  if (!failed && code != absl::StatusCode::kNotFound && code != absl::StatusCode::kUnimplemented) {
    co_return reported;
  }
  // It may be there, and do better next time.
  in_doubt_ |= failed;
  // Else a refusal means that nobody is there, but for the target that every controller has.
  std::vector<uint8_t> luns;
  if (path != 0 || target != topology_.first_target) co_return luns;
  for (uint32_t lun = 0; lun < topology_.luns; ++lun) luns.push_back(static_cast<uint8_t>(lun));
  co_return luns;
}

Task<absl::Status> StorvscDisks::ScanTarget(uint8_t path, uint8_t target) {
  absl::StatusOr<std::vector<uint8_t>> luns = co_await LunsOf(path, target);
  if (!luns.ok()) co_return Doubt(luns.status());
  for (const uint8_t lun : *luns) {
    if (retired_) break;
    const BlockAddress address = {.path = path, .target = target, .lun = lun};
    if (luns_.contains(address)) continue;
    absl::Status added = co_await Add(address);
    if (!added.ok()) co_return added;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> StorvscDisks::Add(BlockAddress address) {
  absl::StatusOr<std::optional<InquiryFacts>> inquiry = co_await probe_.Inquire(address);
  if (!inquiry.ok()) co_return Doubt(inquiry.status());
  if (!inquiry->has_value()) co_return absl::OkStatus();
  absl::StatusOr<DiskFacts> facts = co_await Identify(address, **inquiry);
  if (absl::Status ends = Doubt(facts.status()); !ends.ok()) co_return ends;
  if (absl::IsNotFound(facts.status())) co_return absl::OkStatus();
  Lun& lun = luns_[address];
  lun.facts.inquiry = **inquiry;
  Adopt(address, lun, std::move(facts));
  co_return absl::OkStatus();
}

Task<absl::StatusOr<DiskFacts>> StorvscDisks::Identify(BlockAddress address, InquiryFacts inquiry) {
  if (inquiry.device_type != kScsiDisk && inquiry.device_type != kScsiDvd) {
    co_return absl::UnimplementedError(
        absl::StrCat("no driver for SCSI device type ", inquiry.device_type));
  }
  co_return co_await probe_.Identify(address, std::move(inquiry));
}

// The status, when it ends the scan.
absl::Status StorvscDisks::Doubt(const absl::Status& status) {
  if (EndsScan(status)) return status;
  // NotFound: it went while it was looked at, and may be back.
  if (absl::IsAborted(status) || absl::IsNotFound(status)) in_doubt_ = true;
  return absl::OkStatus();
}

void StorvscDisks::Adopt(BlockAddress address, Lun& lun, absl::StatusOr<DiskFacts> facts) {
  if (facts.ok()) {
    lun.facts = *std::move(facts);
    lun.problem.clear();
    Publish(address, lun);
  } else {
    lun.problem = std::string(facts.status().message());
  }
}

// ---- Media.

bool StorvscDisks::has_removable_media() const {
  return std::any_of(luns_.begin(), luns_.end(),
                     [](const auto& entry) { return entry.second.dvd(); });
}

Task<absl::Status> StorvscDisks::PollMedia() {
  const std::vector<BlockAddress> known = Addresses();
  for (const BlockAddress& address : known) {
    auto found = luns_.find(address);
    if (found == luns_.end() || !found->second.dvd()) continue;
    absl::StatusOr<MediumEvent> event = co_await probe_.PollMedium(address);
    if (!event.ok()) co_return event.status();
    found = luns_.find(address);
    if (found == luns_.end()) continue;
    const bool published = found->second.disk != nullptr;
    if (published && (event->medium == MediumState::kAbsent || event->is_new)) {
      Unpublish(address, found->second);
      found->second.problem = "no medium";
    }
    if (event->medium == MediumState::kPresent && (!published || event->is_new)) {
      absl::Status checked = co_await CheckOne(address);
      if (!checked.ok()) co_return checked;
    }
  }
  co_return absl::OkStatus();
}

// ---- Disks.

void StorvscDisks::Publish(BlockAddress address, Lun& lun) {
  if (retired_) return;
  lun.disk = std::make_shared<ScsiDisk>(
      ScsiDisk::Options{.address = address,
                        .info = DescribeDisk(lun.facts, limits_),
                        .write_same_unmaps = WriteSameUnmapsToZero(lun.facts),
                        .bytes = lun.facts.capacity.bytes(),
                        .lanes = lanes_,
                        .memory = &context_.memory(),
                        .pages = &context_.pages(),
                        .attention = attention_,
                        .bounce_bytes = limits_.bounce_bytes,
                        .timeout_seconds = limits_.timeout_seconds});
  ++added_;
  if (listener_ != nullptr) listener_->OnDiskAdded(address, lun.disk);
}

void StorvscDisks::Unpublish(BlockAddress address, Lun& lun) {
  if (lun.disk == nullptr) return;
  ++removed_;
  std::exchange(lun.disk, nullptr)->Retire();
  if (listener_ != nullptr) listener_->OnDiskRemoved(address);
}

void StorvscDisks::Remove(BlockAddress address) {
  const auto found = luns_.find(address);
  if (found == luns_.end()) return;
  Unpublish(address, found->second);
  luns_.erase(address);
}

bool StorvscDisks::HearDisks() {
  bool scan = false;
  for (const BlockAddress& address : Addresses()) {
    const std::shared_ptr<ScsiDisk> disk = luns_.at(address).disk;
    if (disk == nullptr) continue;
    scan |= disk->TakeRescanWanted();
    // A drive without its medium, or another disk, may be there all the same: the scan finds out.
    if (!disk->TakeLunGone()) continue;
    Remove(address);
    scan = true;
  }
  return scan;
}

void StorvscDisks::RetireAll() {
  retired_ = true;
  for (const BlockAddress& address : Addresses()) Remove(address);
}

void StorvscDisks::Inspect(InspectNode& node) const {
  node.Set("scans", scans_);
  node.Set("disks_added", added_);
  node.Set("disks_removed", removed_);
  node.Set("disks_resized", resized_);
  for (const auto& [address, lun] : luns_) {
    InspectNode& child = node.Child(absl::StrCat("lun ", Text(address)));
    child.Set("type", uint32_t{lun.facts.inquiry.device_type});
    child.Set("vendor", lun.facts.inquiry.vendor);
    child.Set("product", lun.facts.inquiry.product);
    child.Set("revision", lun.facts.inquiry.revision);
    if (lun.disk == nullptr) {
      child.Set("not_used", lun.problem);
      continue;
    }
    const BlockInfo& info = lun.disk->info();
    child.Set("id", info.id);
    child.Set("bytes", lun.disk->bytes());
    child.Set("block_bytes", info.block_bytes);
    child.Set("physical_block_bytes", info.physical_block_bytes);
    child.Set("max_transfer_bytes", info.max_transfer_bytes);
    child.Set("read_only", info.read_only);
    child.Set("volatile_cache", info.volatile_cache);
    child.Set("force_unit_access", info.force_unit_access);
    child.Set("discard", info.discard);
    child.Set("write_zeroes", info.write_zeroes);
    child.Set("rotational", info.rotational);
  }
}

}  // namespace vmbuskit
