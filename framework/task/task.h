// A coroutine for control sequences: connect, negotiate, open, tear down as straight-line code.
//
//   Task<absl::Status> Device::Start() {
//     absl::StatusOr<uint32_t> reply = co_await Call(channel_, request, buffer);
//     if (!reply.ok()) co_return reply.status();
//     co_return absl::OkStatus();
//   }
//   group.Spawn(Probe(device));         // spawn.h; or co_await it from another Task
//
// A Task is lazy: it runs when awaited or spawned, on the executor of whoever awaits it, and frees
// its frame when it ended. Data paths do not use tasks (they never suspend). Thread safety: a task
// stays on one executor unless it awaits SwitchTo.
#ifndef VMBUSKIT_FRAMEWORK_TASK_TASK_H_
#define VMBUSKIT_FRAMEWORK_TASK_TASK_H_

#include <coroutine>
#include <cstdlib>
#include <optional>
#include <utility>

namespace vmbuskit {

template <typename T>
class Task;

namespace task_internal {

struct FinalAwaiter {
  bool await_ready() noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) noexcept {
    return self.promise().continuation;
  }
  void await_resume() noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();

  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { std::abort(); }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;

  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T Take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void Take() {}
};

}  // namespace task_internal

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = task_internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
    handle_.promise().continuation = awaiting;
    return handle_;
  }
  T await_resume() { return handle_.promise().Take(); }

 private:
  Handle handle_;
};

namespace task_internal {

template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

}  // namespace task_internal

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_TASK_TASK_H_
