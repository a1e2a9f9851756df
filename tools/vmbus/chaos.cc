#include "tools/vmbus/chaos.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"
#include "framework/task/deadline.h"
#include "framework/task/sleep.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {
namespace {

constexpr Duration kShortest = std::chrono::milliseconds(10);
constexpr Duration kLongest = std::chrono::hours(1);
// The host may still work for a controller that was taken away.
constexpr Duration kComeBackLimit = std::chrono::seconds(30);
constexpr Duration kComeBackStep = std::chrono::milliseconds(1);

absl::StatusOr<Duration> ParseDuration(std::string_view text) {
  uint32_t count = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, count);
  const std::string_view unit(end, static_cast<size_t>(last - end));
  Duration duration{};
  if (unit == "s") duration = std::chrono::seconds(count);
  if (unit == "ms") duration = std::chrono::milliseconds(count);
  if (error == std::errc() && duration >= kShortest && duration <= kLongest) return duration;
  return absl::InvalidArgumentError(
      absl::StrCat("'", ToAbsl(text), "' is not a time from 10ms to 3600s"));
}

}  // namespace

absl::StatusOr<ChaosPlan> ParseChaos(std::string_view text) {
  ChaosPlan plan;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(',', start), text.size());
    const std::string_view item = text.substr(start, end - start);
    start = end + 1;
    const size_t colon = std::min(item.find(':'), item.size());
    const std::string_view name = item.substr(0, colon);
    if ((name != "rescind" && name != "hotplug") || colon == item.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", ToAbsl(item), "' is not rescind:TIME or hotplug:TIME"));
    }
    const absl::StatusOr<Duration> time = ParseDuration(item.substr(colon + 1));
    if (!time.ok()) return time.status();
    (name == "rescind" ? plan.rescind : plan.hotplug) = *time;
  }
  return plan;
}

Chaos::Chaos(Executor& executor, Executor& host_executor, MachineHost& devices,
             const Machine& machine, const ChaosPlan& plan)
    : executor_(executor),
      host_executor_(host_executor),
      devices_(devices),
      machine_(machine),
      plan_(plan),
      tasks_(executor, "chaos") {}

void Chaos::Start() {
  if (plan_.rescind != Duration::zero()) tasks_.Spawn(RescindForEver());
  if (plan_.hotplug != Duration::zero()) tasks_.Spawn(HotplugForEver());
}

Task<absl::Status> Chaos::Stop() {
  until_stop_.Cancel(absl::CancelledError("the run ends"));
  const absl::Status joined = co_await tasks_.Join(DeadlineIn(executor_));
  co_return joined.ok() ? status_ : joined;
}

Task<bool> Chaos::Pause(Duration duration) {
  const Instant until = executor_.Now() + duration;
  const absl::Status slept = co_await SleepUntilCancelled(executor_, until, until_stop_);
  co_return slept.ok() && status_.ok();
}

Task<absl::Status> Chaos::OfferAgain(size_t controller) {
  const Instant give_up = executor_.Now() + kComeBackLimit;
  while (true) {
    co_await SwitchTo(host_executor_);
    const absl::Status offered = devices_.Offer(controller);
    co_await SwitchTo(executor_);
    if (offered.code() != absl::StatusCode::kAlreadyExists || executor_.Now() >= give_up) {
      co_return offered;
    }
    const Instant next = executor_.Now() + kComeBackStep;
    co_await SleepUntil(executor_, next);
  }
}

Task<void> Chaos::RescindForEver() {
  for (size_t next = 0;; ++next) {
    const bool go_on = co_await Pause(plan_.rescind);
    if (!go_on) co_return;
    const size_t controller = next % machine_.controllers.size();
    co_await SwitchTo(host_executor_);
    const absl::Status rescinded = devices_.Rescind(controller);
    co_await SwitchTo(executor_);
    status_.Update(rescinded);
    if (!rescinded.ok()) co_return;
    (void)co_await Pause(plan_.rescind / 10);
    const absl::Status offered = co_await OfferAgain(controller);
    status_.Update(offered);
    ++rescinds_;
  }
}

Task<void> Chaos::HotplugForEver() {
  for (size_t next = 0;; ++next) {
    const bool go_on = co_await Pause(plan_.hotplug);
    if (!go_on) co_return;
    const size_t controller = next % machine_.controllers.size();
    const std::vector<DiskSpec>& disks = machine_.controllers[controller].disks;
    if (disks.empty()) continue;
    const size_t disk = next / machine_.controllers.size() % disks.size();
    co_await SwitchTo(host_executor_);
    // While the controller is away there is nothing to take a disk from.
    const bool there = devices_.offered(controller);
    const absl::Status detached = there ? devices_.Detach(controller, disk) : absl::OkStatus();
    co_await SwitchTo(executor_);
    status_.Update(detached);
    if (!there) continue;
    (void)co_await Pause(plan_.hotplug / 10);
    co_await SwitchTo(host_executor_);
    const absl::Status attached = devices_.Attach(controller, disk);
    co_await SwitchTo(executor_);
    status_.Update(attached);
    ++hotplugs_;
  }
}

}  // namespace vmbuskit
