// Asks a controller's host which LUNs there are and what they are. Source: protocol 10 sections 5.4, 6, 7 and 9.
//
//   LunProbe probe(caller);
//   absl::StatusOr<std::vector<uint8_t>> luns = co_await probe.ReportLuns(path, target);   // NotFound: no such target
//   absl::StatusOr<std::optional<InquiryFacts>> inquiry = co_await probe.Inquire(address); // nullopt: no such LUN
//   absl::StatusOr<DiskFacts> facts = co_await probe.Identify(address, **inquiry);         // a disk or DVD drive
//
// Every answer is bounded by what was asked for, lies in memory that was zero before, and is parsed as a copy. A page
// or mode that a LUN refuses is not there; only the capacity of a disk is needed. A command that fails (a timeout, an
// internal error) is no refusal, and nothing but an honest "nobody is there" means that: the answer is in doubt.
//
// Thread safety: the caller's executor. Lifetime: the caller outlives it.
// Errors: those of ScsiCaller::Execute, which end a scan; Aborted: in doubt, ask again some time; what a LUN says
// wrongly makes it unusable and is told by Identify with the LUN's own error code (DataLoss: Violation;
// FailedPrecondition: a drive without a medium).
#ifndef VMBUSKIT_DEVICES_STORVSC_LUN_PROBE_H_
#define VMBUSKIT_DEVICES_STORVSC_LUN_PROBE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/storvsc/disk_facts.h"
#include "devices/storvsc/scsi_call.h"
#include "framework/interfaces/block_controller.h"
#include "framework/task/task.h"

namespace vmbuskit {

// LUNs of one byte in the order of a REPORT LUNS answer, each once; others cannot be addressed here.
std::vector<uint8_t> ParseReportLuns(std::span<const std::byte> data);

enum class MediumState : uint8_t { kUnknown, kAbsent, kPresent };
struct MediumEvent {
  MediumState medium = MediumState::kUnknown;
  bool is_new = false;  // another one than the last time
  friend bool operator==(const MediumEvent&, const MediumEvent&) = default;
};
// The answer of GET EVENT STATUS NOTIFICATION, media class.
MediumEvent ParseMediumEvent(std::span<const std::byte> data);

class LunProbe {
 public:
  explicit LunProbe(ScsiCaller& caller) : caller_(caller) {}

  // NotFound: nobody answers for that target. Unimplemented: it is there but does not say; probe every LUN. Unknown:
  // the same, because it failed.
  Task<absl::StatusOr<std::vector<uint8_t>>> ReportLuns(uint8_t path, uint8_t target);
  // Standard INQUIRY; nullopt when there is no such LUN.
  Task<absl::StatusOr<std::optional<InquiryFacts>>> Inquire(BlockAddress address);
  // The rest of a disk that is there, its VPD pages, capacity and mode. NotFound: it went meanwhile.
  Task<absl::StatusOr<DiskFacts>> Identify(BlockAddress address, InquiryFacts inquiry);
  // False: no such LUN. A disk that is not ready is there.
  Task<absl::StatusOr<bool>> IsThere(BlockAddress address);
  Task<absl::StatusOr<CapacityFacts>> ReadCapacity(BlockAddress address);
  // Of a drive with exchangeable media.
  Task<absl::StatusOr<MediumEvent>> PollMedium(BlockAddress address);

 private:
  // The bytes that came, at most `bytes`; empty when the command is refused. NotFound: there is no such LUN. Aborted:
  // it failed. FailedPrecondition: there is no medium.
  Task<absl::StatusOr<std::vector<std::byte>>> Read(BlockAddress address, ScsiCdb cdb,
                                                    uint8_t cdb_bytes, uint32_t bytes);
  Task<absl::StatusOr<std::vector<std::byte>>> ReadVpd(BlockAddress address, uint8_t page);

  ScsiCaller& caller_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_LUN_PROBE_H_
