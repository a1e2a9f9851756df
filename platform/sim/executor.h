// One simulated CPU: an executor whose turns a SimScheduler gives, in virtual time.
//
// Made by SimScheduler::NewExecutor (see scheduler.h). A turn runs one handler (or the due
// pollers), so that every interleaving of handlers can be reached. Turns do not take time.
//
// Thread safety: everything on the scheduler's thread. Lifetime: the scheduler's; what belongs to
// the executor must be destroyed before.
#ifndef VMBUSKIT_PLATFORM_SIM_EXECUTOR_H_
#define VMBUSKIT_PLATFORM_SIM_EXECUTOR_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "platform/callback.h"
#include "platform/executor.h"
#include "platform/poller_list.h"
#include "platform/time.h"
#include "platform/timer_wheel.h"

namespace vmbuskit {

class SimExecutor;

// What the executors of one simulation share.
struct SimClock {
  Instant now;
  const SimExecutor* current = nullptr;  // whose turn runs; null between turns
};

// What a turn can run.
enum class SimWork : uint8_t { kPost, kEvent, kTimer, kPollers };
inline constexpr uint32_t kSimWorkCount = 4;

class SimExecutor final : public Executor {
 public:
  SimExecutor(SimClock& clock, uint32_t cpu, size_t post_capacity, Duration poll_interval);
  ~SimExecutor() override;

  Instant Now() const override { return clock_.now; }
  [[nodiscard]] bool Post(Callback call) override;
  bool IsCurrent() const override { return clock_.current == this; }
  uint32_t cpu() const override { return cpu_; }

  // For the scheduler: what could run now, as a mask of 1 << SimWork.
  uint32_t Runnable();
  void RunTurn(SimWork work);
  // The earliest timer or poller.
  Instant NextWakeup();

 private:
  void EnqueueEvent(Event& event) override;
  void DetachEvent(Event& event) override;
  void ArmTimer(Timer& timer) override { timers_.Arm(timer); }
  void DisarmTimer(Timer& timer) override { timers_.Disarm(timer); }
  void AddPoller(Poller& poller) override { pollers_.Add(poller, clock_.now); }
  void RemovePoller(Poller& poller) override { pollers_.Remove(poller); }

  Callback TakePost();
  Event& TakeEvent();

  SimClock& clock_;
  const uint32_t cpu_;
  std::vector<Callback> posts_;  // a ring
  size_t posts_first_ = 0;
  size_t posts_count_ = 0;
  Event* events_first_ = nullptr;
  Event* events_last_ = nullptr;
  TimerWheel timers_;
  PollerList pollers_;
};

// While it lives, `executor` counts as the one whose turn runs: for tests that call into its
// objects from outside.
class SimTurn {
 public:
  SimTurn(SimClock& clock, const SimExecutor& executor) : clock_(clock), previous_(clock.current) {
    clock_.current = &executor;
  }
  ~SimTurn() { clock_.current = previous_; }
  SimTurn(const SimTurn&) = delete;
  SimTurn& operator=(const SimTurn&) = delete;

 private:
  SimClock& clock_;
  const SimExecutor* const previous_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_SIM_EXECUTOR_H_
