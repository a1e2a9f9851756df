// Starting coroutines that nobody awaits directly, so that they are still counted and awaited as a
// whole.
//
//   TaskGroup probes(executor, "probes");
//   probes.Spawn(Probe(offer));        // runs from the next turn on
//   absl::Status done = co_await probes.Join(DeadlineIn(executor));  // all ended, frames freed
//
//   Spawn(executor, device.Run());   // without an owner: must have ended before the executor goes
//
// A spawned task that went to another executor comes back by itself before it counts as ended.
// Thread safety: a group belongs to one executor. Lifetime: the destructor asserts that nothing
// runs any more; DestroyAll ends what is left, wherever it is suspended on this executor (for a
// crash, or a test's end).
#ifndef VMBUSKIT_FRAMEWORK_TASK_SPAWN_H_
#define VMBUSKIT_FRAMEWORK_TASK_SPAWN_H_

#include <boost/intrusive/list.hpp>
#include <coroutine>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "framework/task/task.h"
#include "framework/task/waiter.h"
#include "platform/executor.h"

namespace vmbuskit {

class TaskGroup;

namespace task_internal {

// The outermost frame of a spawned task: starts by an event, frees itself at the end.
struct SpawnedRoot {
  struct promise_type : public boost::intrusive::list_base_hook<> {
    promise_type(Executor& executor, TaskGroup* group, Task<void>& task);
    ~promise_type();

    SpawnedRoot get_return_object() { return {}; }
    auto initial_suspend() noexcept {
      struct Start {
        promise_type* promise;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<>) noexcept { promise->start.Signal(); }
        void await_resume() const noexcept {}
      };
      return Start{this};
    }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() noexcept { std::abort(); }
    void Resume() { std::coroutine_handle<promise_type>::from_promise(*this).resume(); }

    TaskGroup* const group;
    Event start;
  };
};

}  // namespace task_internal

class TaskGroup {
 public:
  // `name` stands in the error of a Join that ran into its deadline.
  TaskGroup(Executor& executor, std::string name);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  void Spawn(Task<void> task);

  uint32_t running() const { return static_cast<uint32_t>(roots_.size()); }

  class [[nodiscard]] Joining {
   public:
    Joining(TaskGroup& group, Instant deadline)
        : group_(group), waiter_(group.executor_, deadline) {}
    bool await_ready() const { return group_.roots_.empty(); }
    void await_suspend(std::coroutine_handle<> coroutine) {
      group_.joining_.push_back(waiter_);
      waiter_.Suspend(coroutine);
    }
    absl::Status await_resume() const;

   private:
    TaskGroup& group_;
    Waiter waiter_;
  };

  // Waits until nothing runs in the group. DeadlineExceeded names group and number. Not from inside
  // the group.
  Joining Join(Instant deadline) { return Joining(*this, deadline); }

  // Frees every frame now, without running it further: destructors of what the frames hold do run.
  // Not from inside the group.
  void DestroyAll();

  Executor& executor() const { return executor_; }

 private:
  friend struct task_internal::SpawnedRoot::promise_type;
  void OnRootGone(task_internal::SpawnedRoot::promise_type& root);

  Executor& executor_;
  const std::string name_;
  boost::intrusive::list<task_internal::SpawnedRoot::promise_type> roots_;
  WaiterList joining_;
};

// Without a group: nobody can wait for it or end it early.
void Spawn(Executor& executor, Task<void> task);

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_TASK_SPAWN_H_
