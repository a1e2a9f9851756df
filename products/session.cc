#include "products/session.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"
#include "framework/task/sleep.h"
#include "framework/task/spawn.h"
#include "products/interrupt.h"

namespace vmbuskit {
namespace {

// At first things change fast; a table that nobody can read faster need not be made more often than
// this.
constexpr Duration kFirstInterval = std::chrono::milliseconds(10);
constexpr Duration kShowInterval = std::chrono::seconds(1);
constexpr Duration kOnceInterval = std::chrono::milliseconds(50);

void WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    text.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace

void PrintText(std::string_view text) { WriteAll(STDOUT_FILENO, text); }
void PrintError(std::string_view text) { WriteAll(STDERR_FILENO, text); }

Session::Session(Options options)
    : options_(std::move(options)),
      view_({.terminal = isatty(STDOUT_FILENO) == 1, .columns = 80, .rows = 24}) {}

int Session::Run() {
  InterruptWatch::Block();
  // Who reads the table may have enough of it before the devices have: then the rest is lost, and that is all.
  std::signal(SIGPIPE, SIG_IGN);
  absl::StatusOr<std::unique_ptr<System>> system = System::Create(options_.system);
  outcome_ = system.status();
  if (system.ok()) {
    system_ = *std::move(system);
    InterruptWatch interrupt(system_->executor(), Callback::To<&Session::OnInterrupt>(this));
    outcome_ = interrupt.Start();
    if (outcome_.ok()) {
      Spawn(system_->executor(), RunAll());
      system_->executor().Run();
    }
  }
  if (outcome_.ok()) return EXIT_SUCCESS;
  PrintError(absl::StrCat(options_.name, ": ", outcome_.message(), "\n"));
  return EXIT_FAILURE;
}

void Session::OnInterrupt() {
  until_interrupt_.Cancel(absl::CancelledError("interrupted before every device had run"));
}

Task<void> Session::RunAll() {
  outcome_ = co_await Serve();
  const absl::Status stopped = co_await StopSystem();
  if (!stopped.ok()) EndProcess(stopped);
  system_->executor().Stop();
}

// What did not stop cannot be destroyed either.
void Session::EndProcess(const absl::Status& reason) {
  PrintError(absl::StrCat(options_.name, ": ", reason.message(), "\n"));
  std::_Exit(EXIT_FAILURE);
}

Task<absl::Status> Session::Serve() {
  const absl::Status started = co_await system_->Start();
  if (!started.ok()) co_return started;
  absl::Status served = OnStarted();
  if (served.ok()) served = co_await Watch();
  const absl::Status let_go = co_await OnStopping();
  if (!let_go.ok()) EndProcess(let_go);
  served.Update(ended_);  // also by OnStopping
  co_return served;
}

void Session::End(const absl::Status& outcome) {
  ended_.Update(outcome);
  until_interrupt_.Cancel(absl::CancelledError("ended"));
}

Task<absl::Status> Session::Watch() {
  LinuxExecutor& executor = system_->executor();
  const Instant give_up = executor.Now() + options_.timeout;
  const Duration longest = options_.once ? kOnceInterval : kShowInterval;
  Duration interval = kFirstInterval;
  while (true) {
    const std::vector<DeviceInfo> devices = co_await system_->Describe();
    const std::vector<DeviceRow> rows = DeviceRows(devices);
    const std::string missing = WhatHasNotRun(rows);
    const bool ended = options_.once && (missing.empty() || executor.Now() >= give_up);
    // A run that ends by itself shows in a log how it ended, not how it got there.
    if (!options_.once || ended || view_.terminal()) Show(rows);
    if (ended && missing.empty()) co_return absl::OkStatus();
    if (ended) {
      co_return absl::DeadlineExceededError(
          absl::StrCat(missing, " after ", FormatDuration(options_.timeout)));
    }
    const Instant next = executor.Now() + interval;
    const absl::Status slept = co_await SleepUntilCancelled(executor, next, until_interrupt_);
    if (!ended_.ok()) co_return ended_;
    if (!slept.ok() && options_.once) co_return slept;
    if (!slept.ok()) co_return absl::OkStatus();
    interval = std::min(2 * interval, longest);
  }
}

Task<absl::Status> Session::StopSystem() {
  const absl::Status stopped = co_await system_->Stop();
  if (!stopped.ok()) co_return stopped;
  const uint64_t shared = co_await system_->SharedPages();
  Say(absl::StrCat("stopped; ", shared, " pages are still shared with the host"));
  if (shared == 0) co_return absl::OkStatus();
  co_return absl::InternalError("the host did not give every page back");
}

Task<absl::Status> Session::OnStopping() { co_return absl::OkStatus(); }

void Session::Show(const std::vector<DeviceRow>& rows) {
  winsize window;
  if (view_.terminal() && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) {
    view_.Resize(window.ws_col, window.ws_row);
  }
  PrintText(view_.Update(DeviceTable(rows), DeviceGist(rows)));
}

void Session::Say(std::string_view line) {
  PrintText(absl::StrCat(options_.name, ": ", ToAbsl(line), "\n"));
}

}  // namespace vmbuskit
