#include "framework/task/spawn.h"

#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {

namespace task_internal {

SpawnedRoot::promise_type::promise_type(Executor& executor, TaskGroup* group, Task<void>&)
    : group(group), start(executor, Callback::To<&promise_type::Resume>(this)) {
  if (group != nullptr) group->roots_.push_back(*this);
}

SpawnedRoot::promise_type::~promise_type() {
  if (group != nullptr) group->OnRootGone(*this);
}

}  // namespace task_internal

namespace {

task_internal::SpawnedRoot RunRoot(Executor& executor, TaskGroup*, Task<void> task) {
  Task<void> running = std::move(task);  // freed before the root counts as gone
  co_await running;
  co_await SwitchTo(executor);
}

}  // namespace

TaskGroup::TaskGroup(Executor& executor, std::string name)
    : executor_(executor), name_(std::move(name)) {}

TaskGroup::~TaskGroup() { assert(roots_.empty() && joining_.empty()); }

void TaskGroup::Spawn(Task<void> task) { RunRoot(executor_, this, std::move(task)); }

absl::Status TaskGroup::Joining::await_resume() const {
  if (!waiter_.timed_out()) return absl::OkStatus();
  return waiter_.DeadlineError(
      absl::StrCat(group_.name_, " to end, ", group_.running(), " still running"));
}

void TaskGroup::DestroyAll() {
  using Root = task_internal::SpawnedRoot::promise_type;
  while (!roots_.empty()) std::coroutine_handle<Root>::from_promise(roots_.front()).destroy();
}

void TaskGroup::OnRootGone(task_internal::SpawnedRoot::promise_type& root) {
  roots_.erase(roots_.iterator_to(root));
  if (roots_.empty()) WakeAll(joining_);
}

void Spawn(Executor& executor, Task<void> task) { RunRoot(executor, nullptr, std::move(task)); }

}  // namespace vmbuskit
