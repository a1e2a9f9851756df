// The whole system on one thread: any number of simulated executors in virtual time, whose turns a
// seed orders. The same seed gives the same run; another seed another interleaving.
//
//   SimScheduler sim(/*seed=*/7);
//   SimExecutor& cpu0 = sim.NewExecutor(0);
//   Timer timer(cpu0, Callback::To<&Device::OnDeadline>(&device));
//   timer.Arm(sim.Now() + std::chrono::seconds(60));
//   EXPECT_TRUE(sim.RunUntil([&] { return device.closed(); }, std::chrono::seconds(61)));   //
//   takes no real time
//
// Time stands still while anything is runnable, then jumps to the next timer or poller. Seed 0
// gives turns round robin; any other seed chooses executor and kind of work at random (events and
// posts stay first-in first-out).
//
// Thread safety: one thread. Lifetime: executors live as long as the scheduler, and what belongs to
// them must be destroyed before it. Errors: ResourceExhausted when one Run call needs more turns
// than `steps_max` (two handlers that wake each other for ever); it names the limit, the time and
// the executors that still have work.
#ifndef VMBUSKIT_PLATFORM_SIM_SCHEDULER_H_
#define VMBUSKIT_PLATFORM_SIM_SCHEDULER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "platform/random.h"
#include "platform/sim/executor.h"
#include "platform/time.h"

namespace vmbuskit {

class SimScheduler {
 public:
  struct Options {
    uint64_t steps_max = 10'000'000;  // turns in one call of Run*
    size_t post_capacity = 4096;      // calls posted to one executor and not run yet; at least 1
    // What a poller with period zero waits between two calls: a polling loop takes time.
    Duration poll_interval = std::chrono::microseconds(1);
    Instant start = Instant(std::chrono::seconds(1));
  };

  explicit SimScheduler(uint64_t seed) : SimScheduler(seed, Options{}) {}
  SimScheduler(uint64_t seed, const Options& options);
  ~SimScheduler();
  SimScheduler(const SimScheduler&) = delete;
  SimScheduler& operator=(const SimScheduler&) = delete;

  SimExecutor& NewExecutor(uint32_t cpu);

  // Runs what is runnable without letting time pass.
  absl::Status RunUntilIdle();
  // Runs everything that happens within `duration`; afterwards that much time has passed.
  absl::Status RunFor(Duration duration);
  // Runs until `predicate` holds, looking before every turn: true. False when `limit` has passed
  // before, when nothing can happen any more (no time passes then), or when steps_max was reached
  // (see status()).
  bool RunUntil(absl::FunctionRef<bool()> predicate, Duration limit);

  // Ok, or why the last Run call ended early.
  const absl::Status& status() const { return status_; }

  // Gives `executor` no turns until it is released, as if somebody had taken its CPU: what is brought to it waits, and
  // its timers come late. Time and the others go on.
  void Hold(const SimExecutor& executor) { Find(executor).held = true; }
  void Release(const SimExecutor& executor) { Find(executor).held = false; }

  // Makes `executor` the current one for calls into its objects from outside of a turn.
  [[nodiscard]] SimTurn Enter(const SimExecutor& executor) { return SimTurn(clock_, executor); }

  Instant Now() const { return clock_.now; }
  uint64_t steps() const { return steps_; }
  // Covers every turn so far: which executor, what kind of work, when.
  uint64_t trace_hash() const { return trace_hash_; }

 private:
  struct Choice {
    size_t executor;
    SimWork work;
  };
  struct Cpu {
    std::unique_ptr<SimExecutor> executor;
    uint32_t last_work = kSimWorkCount - 1;  // for round robin
    uint32_t runnable = 0;                   // as Choose found it
    bool held = false;
  };

  // Lets turns run up to and including time `end`; true when `predicate` held.
  bool Run(const char* caller, Instant end, absl::FunctionRef<bool()> predicate);
  bool Choose(Choice& choice);
  SimWork ChooseWork(size_t executor, uint32_t runnable);
  void Take(const Choice& choice);
  Instant NextWakeup();
  Cpu& Find(const SimExecutor& executor);
  absl::Status StepsExhausted(const char* caller);

  const uint64_t seed_;
  const Options options_;
  Random random_;
  SimClock clock_;
  std::vector<Cpu> cpus_;
  size_t last_cpu_ = 0;
  uint64_t steps_ = 0;
  uint64_t trace_hash_ = 0;
  absl::Status status_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_SIM_SCHEDULER_H_
