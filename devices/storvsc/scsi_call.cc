#include "devices/storvsc/scsi_call.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "devices/storvsc/scsi_result.h"
#include "framework/task/deadline.h"
#include "framework/task/one_shot.h"
#include "framework/task/sleep.h"

namespace vmbuskit {
namespace {

constexpr int kAttempts = 5;
constexpr Duration kBusyPause = std::chrono::milliseconds(100);

class AwaitedCommand final : public ScsiCommand {
 public:
  explicit AwaitedCommand(Executor& executor) : done(executor, "the end of a SCSI command") {}

  void OnScsiDone(ScsiEnd how) override {
    end = how;
    done.Set();
  }

  ScsiEnd end = ScsiEnd::kGone;
  OneShot<void> done;
};

ScsiReply ReplyOf(const ScsiCommand& command) {
  return {.srb_status = command.srb_status,
          .scsi_status = command.scsi_status,
          .transferred = command.transferred,
          .sense_bytes = command.sense_bytes,
          .sense_data = command.sense};
}

std::string NameOf(const ScsiCall& call) {
  return absl::StrFormat("SCSI command 0x%02X to %d:%d:%d", call.cdb[0], call.address.path,
                         call.address.target, call.address.lun);
}

}  // namespace

scsi::Sense ScsiReply::sense() const {
  return ParseSense(std::span(sense_data).first(sense_bytes)).value_or(scsi::Sense{});
}

std::string ScsiReply::ToString() const {
  std::string text = absl::StrFormat("srb 0x%02X, scsi 0x%02X", srb_status, scsi_status);
  if (sense_bytes != 0) {
    const scsi::Sense codes = sense();
    absl::StrAppend(&text,
                    absl::StrFormat(", sense %X/%02X/%02X", codes.key, codes.asc, codes.ascq));
  }
  return text;
}

Task<absl::StatusOr<ScsiReply>> ScsiCaller::Execute(ScsiCall call) {
  BlockBuffer buffer;
  AwaitedCommand command(context_.executor());
  BlockSegment segment;
  const size_t bytes = std::max(call.data.size(), call.source.size());
  if (bytes != 0) {
    absl::StatusOr<BlockBuffer> allocated =
        BlockBuffer::OfGuest(context_.memory(), context_.pages(), bytes);
    if (!allocated.ok()) co_return allocated.status();
    buffer = *std::move(allocated);
    std::copy(call.source.begin(), call.source.end(), buffer.bytes().begin());
    segment = {buffer.bytes().data(), static_cast<uint32_t>(bytes), buffer.gpa()};
    command.segments = {&segment, 1};
    command.bytes = segment.bytes;
  }
  command.address = call.address;
  command.cdb = call.cdb;
  command.cdb_bytes = call.cdb_bytes;
  command.direction = call.direction;
  command.timeout_seconds = call.timeout_seconds;
  lane_->Submit(command);
  // It ends: answered, or with the lane, which is ended when the host is silent for too long.
  while (!command.done.is_set()) {
    (void)co_await command.done.Wait(DeadlineIn(context_.executor()));
  }
  switch (command.end) {
    case ScsiEnd::kCompleted:
      break;
    case ScsiEnd::kRefused:
      co_return absl::InvalidArgumentError(NameOf(call) + " breaks a rule of the driver");
    case ScsiEnd::kGone:
      co_return absl::UnavailableError(NameOf(call) + ": the channel ended");
    case ScsiEnd::kLost:
      co_return absl::DataLossError(NameOf(call) +
                                    ": the channel ended and the host may use its pages");
  }
  if (call.direction == storvsc::kDataIn && !call.data.empty()) {
    std::memcpy(call.data.data(), buffer.bytes().data(), call.data.size());
  }
  co_return ReplyOf(command);
}

Task<absl::StatusOr<ScsiReply>> ScsiCaller::ExecutePatiently(ScsiCall call) {
  for (int attempt = 1;; ++attempt) {
    absl::StatusOr<ScsiReply> reply = co_await Execute(call);
    if (!reply.ok() || attempt == kAttempts) co_return reply;
    const ScsiAction action = reply->judge().action;
    if (action == ScsiAction::kEnd) co_return reply;
    if (action == ScsiAction::kRetryLater) {
      co_await SleepUntil(context_.executor(), context_.executor().Now() + kBusyPause);
    }
  }
}

}  // namespace vmbuskit
