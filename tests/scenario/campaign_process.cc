#include "tests/scenario/campaign_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

timespec ToTimespec(Duration duration) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(duration);
  return {.tv_sec = seconds.count(), .tv_nsec = (duration - seconds).count()};
}

void SilenceErrors() {
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) dup2(nowhere, STDERR_FILENO);
}

}  // namespace

CampaignSignals::CampaignSignals() {
  sigemptyset(&taken_);
  for (int signal : {SIGCHLD, SIGINT, SIGTERM}) sigaddset(&taken_, signal);
  // An inherited SIG_IGN would reap the workers before their ends are seen.
  struct sigaction normal = {};
  normal.sa_handler = SIG_DFL;
  sigaction(SIGCHLD, &normal, &previous_child_);
  sigprocmask(SIG_BLOCK, &taken_, &previous_mask_);
}

CampaignSignals::~CampaignSignals() {
  for (int i = 0; i < 3; ++i) Wait(Duration::zero());  // each of them pends at most once
  sigprocmask(SIG_SETMASK, &previous_mask_, nullptr);
  sigaction(SIGCHLD, &previous_child_, nullptr);
}

bool CampaignSignals::Wait(Duration limit) {
  const timespec timeout = ToTimespec(std::max(limit, Duration::zero()));
  const int signal = sigtimedwait(&taken_, nullptr, &timeout);
  return signal == SIGINT || signal == SIGTERM;
}

void CampaignSignals::BecomeWorker(pid_t parent) const {
  for (int ignored : {SIGINT, SIGTERM}) signal(ignored, SIG_IGN);
  sigaction(SIGCHLD, &previous_child_, nullptr);
  sigprocmask(SIG_SETMASK, &previous_mask_, nullptr);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(EXIT_FAILURE);  // it was gone before the line above
}

absl::StatusOr<pid_t> ForkWorker(const CampaignSignals& signals, bool quiet,
                                 absl::FunctionRef<void()> work) {
  std::fflush(nullptr);  // or the child owns a copy of what is buffered
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return absl::ErrnoToStatus(errno, "a worker process");
  if (child > 0) return child;
  signals.BecomeWorker(parent);
  if (quiet) SilenceErrors();
  work();
  _exit(EXIT_SUCCESS);
}

std::optional<std::string> Reap(pid_t child) {
  int status = 0;
  const pid_t reaped = waitpid(child, &status, WNOHANG);
  if (reaped == 0) return std::nullopt;
  if (reaped < 0) return absl::StrCat("its process is lost: ", strerror(errno));
  if (WIFSIGNALED(status)) {
    return absl::StrCat("signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")");
  }
  if (WEXITSTATUS(status) != EXIT_SUCCESS) {
    return absl::StrCat("the process ended with status ", WEXITSTATUS(status),
                        " (as after a sanitizer's report)");
  }
  return "";
}

void KillWorker(pid_t child) { kill(child, SIGKILL); }

void AwaitEnd(pid_t child) { waitpid(child, nullptr, 0); }

Duration WallTime() { return std::chrono::steady_clock::now().time_since_epoch(); }

}  // namespace vmbuskit
