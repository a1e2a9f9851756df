#include "devices/storvsc/lun_probe.h"

#include <algorithm>
#include <bitset>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kLunsMax = 256;
constexpr uint32_t kReportLunsBytes = 8 + 8 * kLunsMax;
constexpr uint8_t kInquiryBytes = 96;
constexpr uint8_t kInquiryBytesMin = 5;  // with fewer, ParseInquiry says nothing
constexpr uint8_t kVpdBytes = 252;
constexpr uint8_t kModeBytes = 64;
constexpr uint8_t kEventBytes = 8;

uint8_t At(std::span<const std::byte> data, size_t offset) {
  return static_cast<uint8_t>(data[offset]);
}

}  // namespace

std::vector<uint8_t> ParseReportLuns(std::span<const std::byte> data) {
  std::vector<uint8_t> luns;
  if (data.size() < 8) return luns;
  const size_t end = 8 + std::min<size_t>(scsi::ReadBig32(data.data()), data.size() - 8);
  std::bitset<kLunsMax> seen;
  for (size_t at = 8; at + 8 <= end; at += 8) {
    // Peripheral device addressing, and nothing below the first level.
    const uint64_t entry = scsi::ReadBig64(data.data() + at);
    const auto lun = static_cast<uint8_t>(entry >> 48);
    if (entry != uint64_t{lun} << 48 || seen[lun]) continue;
    seen.set(lun);
    luns.push_back(lun);
  }
  return luns;
}

MediumEvent ParseMediumEvent(std::span<const std::byte> data) {
  constexpr uint8_t kNoEventAvailable = 0x80;
  constexpr uint8_t kMediaClass = 4;
  constexpr uint8_t kNewMedia = 2;
  constexpr uint8_t kMediumPresent = 2;
  if (data.size() < 8 || scsi::ReadBig16(data.data()) < 6) return {};
  if ((At(data, 2) & (kNoEventAvailable | 7)) != kMediaClass) return {};
  return {
      .medium = (At(data, 5) & kMediumPresent) != 0 ? MediumState::kPresent : MediumState::kAbsent,
      .is_new = (At(data, 4) & 0x0F) == kNewMedia};
}

Task<absl::StatusOr<std::vector<std::byte>>> LunProbe::Read(BlockAddress address, ScsiCdb cdb,
                                                            uint8_t cdb_bytes, uint32_t bytes) {
  std::vector<std::byte> data(bytes);
  const ScsiCall call = ScsiCall::In(address, cdb, cdb_bytes, data);
  absl::StatusOr<ScsiReply> reply = co_await caller_.ExecutePatiently(call);
  if (!reply.ok()) co_return reply.status();
  if (reply->absent()) co_return absl::NotFoundError("no such LUN");
  if (reply->has_no_medium()) co_return absl::FailedPreconditionError("no medium");
  if (!reply->succeeded() && !reply->refused()) {
    co_return absl::AbortedError(absl::StrCat("cannot say what it is: ", reply->ToString()));
  }
  if (reply->succeeded() && reply->transferred == 0) co_return absl::AbortedError("says nothing");
  data.resize(reply->succeeded() ? std::min<size_t>(reply->transferred, bytes) : 0);
  co_return data;
}

Task<absl::StatusOr<std::vector<std::byte>>> LunProbe::ReadVpd(BlockAddress address, uint8_t page) {
  const ScsiCdb cdb = {scsi::kInquiry, 1, page, 0, kVpdBytes};
  absl::StatusOr<std::vector<std::byte>> data = co_await Read(address, cdb, 6, kVpdBytes);
  // Some hosts answer for LUNs that are not there, with a qualifier that says so.
  constexpr uint8_t kNoUnit = 3;
  if (data.ok() && !data->empty() && static_cast<uint8_t>((*data)[0]) >> 5 == kNoUnit) {
    co_return absl::NotFoundError("no such LUN");
  }
  co_return data;
}

Task<absl::StatusOr<std::vector<uint8_t>>> LunProbe::ReportLuns(uint8_t path, uint8_t target) {
  std::vector<std::byte> data(kReportLunsBytes);
  ScsiCdb cdb = {scsi::kReportLuns};
  scsi::WriteBig32(cdb.data() + 6, kReportLunsBytes);
  const BlockAddress first_lun = {.path = path, .target = target, .lun = 0};
  const ScsiCall call = ScsiCall::In(first_lun, cdb, 12, data);
  absl::StatusOr<ScsiReply> reply = co_await caller_.ExecutePatiently(call);
  if (!reply.ok()) co_return reply.status();
  if (reply->succeeded() && reply->transferred >= 8) {
    co_return ParseReportLuns(
        std::span(data).first(std::min<size_t>(reply->transferred, data.size())));
  }
  const std::string what =
      absl::StrCat("REPORT LUNS to ", path, ":", target, ": ", reply->ToString());
  if (reply->absent()) co_return absl::NotFoundError(what);
  if (reply->transient()) co_return absl::AbortedError(what);
  if (!reply->succeeded() && !reply->refused()) co_return absl::UnknownError(what);
  co_return absl::UnimplementedError(what);
}

Task<absl::StatusOr<std::optional<InquiryFacts>>> LunProbe::Inquire(BlockAddress address) {
  const ScsiCdb cdb = {scsi::kInquiry, 0, 0, 0, kInquiryBytes};
  absl::StatusOr<std::vector<std::byte>> data = co_await Read(address, cdb, 6, kInquiryBytes);
  if (absl::IsNotFound(data.status())) co_return std::nullopt;
  if (!data.ok()) co_return data.status();
  // Only what came counts: an untouched buffer looks like a disk (section 5.4).
  const InquiryFacts facts = ParseInquiry(*data);
  if (facts.present) co_return facts;
  if (data->size() < kInquiryBytesMin) co_return absl::AbortedError("does not say what it is");
  co_return std::nullopt;
}

Task<absl::StatusOr<bool>> LunProbe::IsThere(BlockAddress address) {
  const ScsiCall call = ScsiCall::NoData(address, {scsi::kTestUnitReady}, 6);
  absl::StatusOr<ScsiReply> reply = co_await caller_.ExecutePatiently(call);
  if (!reply.ok()) co_return reply.status();
  co_return !reply->absent();
}

Task<absl::StatusOr<CapacityFacts>> LunProbe::ReadCapacity(BlockAddress address) {
  constexpr uint8_t kBytes16 = 32;
  constexpr uint8_t kBytes10 = 8;
  ScsiCdb cdb16 = {scsi::kServiceActionIn16, scsi::kReadCapacity16Action};
  cdb16[13] = kBytes16;
  absl::StatusOr<std::vector<std::byte>> data = co_await Read(address, cdb16, 16, kBytes16);
  if (!data.ok()) co_return data.status();
  if (!data->empty()) co_return ParseCapacity16(*data);
  const ScsiCdb cdb10 = {scsi::kReadCapacity10};
  data = co_await Read(address, cdb10, 10, kBytes10);
  if (!data.ok()) co_return data.status();
  if (data->empty()) {
    co_return absl::AbortedError("READ CAPACITY (16) and (10) are both refused");
  }
  co_return ParseCapacity10(*data);
}

Task<absl::StatusOr<DiskFacts>> LunProbe::Identify(BlockAddress address, InquiryFacts inquiry) {
  DiskFacts facts;
  facts.inquiry = std::move(inquiry);
  absl::StatusOr<CapacityFacts> capacity = co_await ReadCapacity(address);
  if (!capacity.ok()) co_return capacity.status();
  facts.capacity = *capacity;
  // "Msft" disks have pages whatever version of SPC they claim (section 5.4).
  absl::StatusOr<std::vector<std::byte>> data = co_await ReadVpd(address, scsi::kVpdPages);
  if (!data.ok()) co_return data.status();
  const VpdPages pages = ParseVpdPages(*data);
  const bool refused = data->empty();
  for (const uint8_t page : {scsi::kVpdSerial, scsi::kVpdId, scsi::kVpdLimits, scsi::kVpdRotation,
                             scsi::kVpdProvisioning}) {
    if (!pages[page]) continue;
    data = co_await ReadVpd(address, page);
    // Hosts fail this page in ways that say nothing about the disk (section 5.4).
    if (page == scsi::kVpdSerial && absl::IsAborted(data.status())) continue;
    if (!data.ok()) co_return data.status();
    if (data->empty()) co_return absl::AbortedError("a page went while the disk was identified");
    if (page == scsi::kVpdSerial) facts.serial = ParseVpdSerial(*data);
    if (page == scsi::kVpdId) facts.id = ParseVpdId(*data);
    if (page == scsi::kVpdLimits) facts.limits = ParseVpdLimits(*data);
    if (page == scsi::kVpdRotation) facts.rotational = ParseVpdRotational(*data);
    if (page == scsi::kVpdProvisioning) facts.provisioning = ParseVpdProvisioning(*data);
  }
  const ScsiCdb mode_sense = {scsi::kModeSense6, 0, scsi::kCachingPage, 0, kModeBytes};
  data = co_await Read(address, mode_sense, 6, kModeBytes);
  // Nor does a mode that cannot be had: what is not known is taken for what does no harm, but not at the first trouble.
  if (absl::IsAborted(data.status())) {
    data = co_await Read(address, mode_sense, 6, kModeBytes);
    if (absl::IsAborted(data.status())) data = std::vector<std::byte>();
  }
  if (!data.ok()) co_return data.status();
  facts.caching = ParseModeSense6(*data);
  // Hosts refuse the pages of a LUN that is away as those that a LUN does not have. Is it back?
  if (refused) {
    data = co_await ReadVpd(address, scsi::kVpdPages);
    if (!data.ok()) co_return data.status();
    if (!data->empty()) co_return absl::AbortedError("was away while it was identified");
  }
  co_return facts;
}

Task<absl::StatusOr<MediumEvent>> LunProbe::PollMedium(BlockAddress address) {
  constexpr uint8_t kMediaClassMask = 0x10;
  ScsiCdb cdb = {scsi::kGetEventStatus, 1, 0, 0, kMediaClassMask};
  cdb[8] = kEventBytes;
  absl::StatusOr<std::vector<std::byte>> data = co_await Read(address, cdb, 10, kEventBytes);
  if (absl::IsNotFound(data.status()) || absl::IsAborted(data.status()) ||
      absl::IsFailedPrecondition(data.status())) {
    co_return MediumEvent{};
  }
  if (!data.ok()) co_return data.status();
  co_return ParseMediumEvent(*data);
}

}  // namespace vmbuskit
