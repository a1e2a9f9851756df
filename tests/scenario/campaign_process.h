// The system calls of a campaign: forks, their ends, the signals that the parent waits for.
//
//   CampaignSignals signals;
//   absl::StatusOr<pid_t> child = ForkWorker(signals, /*quiet=*/false, [] { Work(); });
//   while (!Reap(*child)) signals.Wait(std::chrono::milliseconds(100));
//
// Thread safety: the process must have one thread; one CampaignSignals at a time.
#ifndef VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_PROCESS_H_
#define VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_PROCESS_H_

#include <signal.h>
#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "platform/time.h"

namespace vmbuskit {

// While it lives, SIGCHLD, SIGINT and SIGTERM wait to be taken.
class CampaignSignals {
 public:
  CampaignSignals();
  ~CampaignSignals();  // drops what nobody took
  CampaignSignals(const CampaignSignals&) = delete;
  CampaignSignals& operator=(const CampaignSignals&) = delete;

  // Waits for one of them, at most `limit`. True when it was SIGINT or SIGTERM.
  bool Wait(Duration limit);

  // In a fork: SIGINT and SIGTERM, which a terminal sends to all processes, are the parent's affair; the worker ends
  // when the parent is gone.
  void BecomeWorker(pid_t parent) const;

 private:
  sigset_t taken_;
  sigset_t previous_mask_;
  struct sigaction previous_child_;
};

// A child that runs `work` and ends well. Quiet: its standard error goes nowhere.
absl::StatusOr<pid_t> ForkWorker(const CampaignSignals& signals, bool quiet,
                                 absl::FunctionRef<void()> work);

// How `child` ended: nothing while it runs, "" when it ended well, otherwise what ended it.
std::optional<std::string> Reap(pid_t child);

void KillWorker(pid_t child);
// After KillWorker: takes its end away.
void AwaitEnd(pid_t child);

// A monotonic clock.
Duration WallTime();

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_PROCESS_H_
