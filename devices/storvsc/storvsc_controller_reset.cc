// What is done for requests that the host does not answer. Source: protocol 10 section 5.5: the host may touch their
// memory as long as it did not answer, so only an answer, or the end of the channel, ends them.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "devices/storvsc/storvsc_controller.h"
#include "framework/task/deadline.h"
#include "framework/task/sleep.h"

namespace vmbuskit {
namespace {

constexpr Duration kLookPeriod = std::chrono::seconds(1);

}  // namespace

void StorvscController::OnOverdue() {
  overdue_again_ = true;
  if (ending() || std::exchange(escalating_, true)) return;
  work_.Spawn(Escalate());
}

Task<void> StorvscController::Escalate() {
  // A command tells of its being overdue once, maybe while TakeOverdue, which has been at its lane, is at the others.
  while (!ending() && std::exchange(overdue_again_, false)) {
    const std::vector<BlockAddress> addresses = co_await lanes_.TakeOverdue();
    if (addresses.empty()) continue;
    if (ending()) break;
    overdue_again_ = true;  // until nothing is
    bool helped = co_await ResetLuns(addresses);
    if (!helped) helped = co_await ResetBuses(addresses);
    if (helped || ending()) continue;
    const uint32_t count = co_await lanes_.CountOverdue();
    if (count == 0) continue;
    const BlockAddress& first = addresses.front();
    Fail(absl::DeadlineExceededError(absl::StrCat(count, count == 1 ? " request" : " requests",
                                                  " without an answer, the first to LUN ",
                                                  first.path, ":", first.target, ":", first.lun,
                                                  "; neither RESET_LUN nor RESET_BUS helped")));
  }
  escalating_ = false;
}

Task<bool> StorvscController::ResetLuns(std::vector<BlockAddress> addresses) {
  bool answered = true;
  for (const BlockAddress& address : addresses) {
    ++counters_.lun_resets;
    const bool done = co_await Reset(storvsc::kResetLun, address);
    answered = answered && done;
    if (!done || ending()) break;
  }
  if (!answered) co_return false;
  co_return co_await Settled();
}

Task<bool> StorvscController::ResetBuses(std::vector<BlockAddress> addresses) {
  std::vector<uint8_t> paths;
  for (const BlockAddress& address : addresses) {
    if (std::find(paths.begin(), paths.end(), address.path) == paths.end()) {
      paths.push_back(address.path);
    }
  }
  for (const uint8_t path : paths) {
    if (ending()) co_return false;
    ++counters_.bus_resets;
    const BlockAddress bus = {.path = path};
    const bool done = co_await Reset(storvsc::kResetBus, bus);
    if (!done) co_return false;
  }
  co_return co_await Settled();
}

Task<bool> StorvscController::Reset(storvsc::Operation operation, BlockAddress address) {
  absl::Status status = co_await handshake_->Reset(operation, address, profile_.reset_limit);
  if (!status.ok()) ++counters_.resets_failed;
  co_return status.ok();
}

// True when nothing is past its time any more.
Task<bool> StorvscController::Settled() {
  Executor& executor = context_.executor();
  const Instant deadline = DeadlineIn(executor, profile_.settle_limit);
  while (!ending()) {
    const uint32_t overdue = co_await lanes_.CountOverdue();
    if (overdue == 0) co_return true;
    if (executor.Now() >= deadline) break;
    // Not longer than the device may take to stop.
    (void)co_await changed_.Wait(std::min(deadline, executor.Now() + kLookPeriod));
  }
  co_return false;
}

}  // namespace vmbuskit
