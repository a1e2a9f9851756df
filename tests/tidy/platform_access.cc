#include "tests/tidy/platform_access.h"

#include "absl/strings/str_cat.h"

namespace vmbuskit::tidy {
namespace {

// Beginnings of what an include names in angle brackets.
constexpr std::string_view kHeaders[] = {
    "arpa/",        "barrier>",      "condition_variable>",
    "csignal>",     "ctime>",        "dirent.h>",
    "dlfcn.h>",     "fcntl.h>",      "filesystem",
    "fstream>",     "future>",       "latch>",
    "linux/",       "mutex>",        "net/",
    "netinet/",     "poll.h>",       "pthread.h",
    "random>",      "sched.h>",      "semaphore",
    "signal.h>",    "shared_mutex>", "spawn.h>",
    "stop_token",   "sys/",          "syscall.h>",
    "thread>",      "time.h>",       "unistd.h>",
    "x86intrin.h>",
};

constexpr std::string_view kWords[] = {
    "::now(",      "clock_gettime", "gettimeofday", "nanosleep",     "rdtsc",   "__rdtsc",
    "sleep_for",   "sleep_until",   "usleep",       "random_device", "getpid(", "getrandom",
    "std::thread", "this_thread",   "std::jthread", "std::async",    "syscall", "std::rand",
};

}  // namespace

Findings CheckPlatformAccess(const SourceText& file) {
  Findings findings;
  if (LayerOf(file.path()) == "platform") return findings;
  const auto add = [&](size_t line, std::string_view what) {
    findings.push_back(
        {file.path(), line + 1, "platform-access",
         absl::StrCat("'", std::string(what),
                      "' belongs to platform/: take an Executor, a Random or an interface of "
                      "platform/ instead, or list the file with its reason in "
                      "tests/tidy/exceptions.cc")});
  };
  for (size_t i = 0; i < file.code().size(); ++i) {
    const std::string_view code = file.code()[i];
    for (std::string_view header : kHeaders) {
      if (code.starts_with("#include <") && code.substr(10).starts_with(header)) {
        add(i, code.substr(9));
      }
    }
    for (std::string_view word : kWords) {
      if (FindWord(code, word) != std::string_view::npos) add(i, word);
    }
  }
  return findings;
}

Findings CheckFences(const SourceText& file) {
  Findings findings;
  for (size_t i = 0; i < file.code().size(); ++i) {
    if (FindWord(file.code()[i], "atomic_thread_fence") == std::string_view::npos) continue;
    findings.push_back({file.path(), i + 1, "fences",
                        "use sequentially consistent operations on the shared word itself"});
  }
  return findings;
}

}  // namespace vmbuskit::tidy
