// Where the parts of a scenario ask whether something goes wrong now, and tell what happened.
//
//   FaultSource faults(plan, seed, sim, trace);
//   if (faults.Happens(plan.interrupt_lost)) { faults.Note("interrupt lost", vp); ... }
//   faults.set_active(false);                 // from here on nothing new goes wrong
//   faults.Report(absl::InternalError("..."));  // an invariant does not hold: the first one stays
//
// Thread safety: the scheduler's thread.
#ifndef VMBUSKIT_TESTS_SCENARIO_FAULT_SOURCE_H_
#define VMBUSKIT_TESTS_SCENARIO_FAULT_SOURCE_H_

#include <cstdint>
#include <ostream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "platform/callback.h"
#include "platform/random.h"
#include "platform/sim/scheduler.h"
#include "tests/scenario/fault_plan.h"

namespace vmbuskit {

class FaultSource {
 public:
  FaultSource(const FaultPlan& plan, uint64_t seed, const SimScheduler& sim, std::ostream* trace)
      : plan_(plan), random_(seed), sim_(sim), trace_(trace) {}

  const FaultPlan& plan() const { return plan_; }
  Random& random() { return random_; }

  bool Happens(Chance chance) {
    if (!active_ || !chance.Happens(random_)) return false;
    ++injected_;
    return true;
  }
  void set_active(bool active) { active_ = active; }
  bool active() const { return active_; }
  uint64_t injected() const { return injected_; }
  void CountInjected() { ++injected_; }

  // Storage keeps the host from answering for longer than the guest waits.
  void NoteSilence() {
    silent_ = true;
    if (on_silence_) on_silence_();
  }
  bool silent() const { return silent_; }
  void set_on_silence(Callback on_silence) { on_silence_ = on_silence; }

  bool tracing() const { return trace_ != nullptr; }
  // A line of the trace: time, turn, then the arguments one after the other.
  template <typename... Args>
  void Note(const Args&... args) {
    if (trace_ == nullptr) return;
    const auto now = sim_.Now().time_since_epoch().count();
    *trace_ << now / 1'000'000 << '.' << now / 1000 % 1000 << " ms, turn " << sim_.steps() << ": "
            << absl::StrCat(args...) << '\n';
  }

  void Report(const absl::Status& violation) {
    if (!violation_.ok() || violation.ok()) return;
    violation_ = violation;
    Note("VIOLATION: ", violation.message());
  }
  const absl::Status& violation() const { return violation_; }

 private:
  const FaultPlan plan_;
  Random random_;
  const SimScheduler& sim_;
  std::ostream* const trace_;
  bool active_ = true;
  uint64_t injected_ = 0;
  bool silent_ = false;
  Callback on_silence_;
  absl::Status violation_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_FAULT_SOURCE_H_
