// A child process under test: what it prints, how it ends. Every wait has a deadline; a child that
// outlives its object is killed.
//
//   ChildProcess demo({"tools/vmbus/vmbus", "demo"});
//   ASSERT_TRUE(demo.WaitForOutput("running"));
//   demo.Signal(SIGINT);
//   EXPECT_EQ(demo.Wait(), 0) << demo.err();
//
// Thread safety: none.
#ifndef VMBUSKIT_TOOLS_VMBUS_PROCESS_TESTING_H_
#define VMBUSKIT_TOOLS_VMBUS_PROCESS_TESTING_H_

#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

extern char** environ;

namespace vmbuskit {

class ChildProcess {
 public:
  // A generous bound for a loaded machine and a sanitized binary; tests do not come near it.
  static constexpr int kPatienceMs = 50'000;
  static constexpr int kNotEnded = -1;

  // `patience_ms`: how long it may be silent while it is waited for.
  explicit ChildProcess(const std::vector<std::string>& arguments, int patience_ms = kPatienceMs)
      : patience_ms_(patience_ms) {
    std::array<int, 2> out_pipe;
    std::array<int, 2> err_pipe;
    if (pipe(out_pipe.data()) != 0 || pipe(err_pipe.data()) != 0) return;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out_pipe[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err_pipe[1], STDERR_FILENO);
    for (int fd : {out_pipe[0], out_pipe[1], err_pipe[0], err_pipe[1]}) {
      posix_spawn_file_actions_addclose(&actions, fd);
    }
    std::vector<char*> argv;
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    if (posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) pid_ = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(out_pipe[1]);
    close(err_pipe[1]);
    streams_ = {{{.fd = out_pipe[0], .text = {}}, {.fd = err_pipe[0], .text = {}}}};
  }
  ~ChildProcess() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    for (Stream& stream : streams_) {
      if (stream.fd >= 0) close(stream.fd);
    }
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  int pid() const { return pid_; }
  void Signal(int signal) { kill(pid_, signal); }

  // Until standard output contains `text`; false when it ended, or nothing came in time.
  bool WaitForOutput(std::string_view text) {
    while (out().find(text) == std::string::npos) {
      if (!ReadSome()) return false;
    }
    return true;
  }

  // Until the end of both streams and of the process: its exit code, or 128 + the signal that ended
  // it.
  int Wait() {
    while (streams_[0].fd >= 0 || streams_[1].fd >= 0) {
      if (!ReadSome()) return kNotEnded;
    }
    int status = 0;
    if (pid_ <= 0 || waitpid(pid_, &status, 0) != pid_) return kNotEnded;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  const std::string& out() const { return streams_[0].text; }
  const std::string& err() const { return streams_[1].text; }

 private:
  struct Stream {
    int fd = -1;
    std::string text;
  };

  bool ReadSome() {
    std::array<pollfd, 2> polled;
    for (size_t i = 0; i < 2; ++i)
      polled[i] = {.fd = streams_[i].fd, .events = POLLIN, .revents = 0};
    if (streams_[0].fd < 0 && streams_[1].fd < 0) return false;
    if (poll(polled.data(), polled.size(), patience_ms_) <= 0) return false;
    for (size_t i = 0; i < 2; ++i) {
      if (polled[i].revents == 0) continue;
      std::array<char, 4096> bytes;
      const ssize_t count = read(streams_[i].fd, bytes.data(), bytes.size());
      if (count > 0) {
        streams_[i].text.append(bytes.data(), static_cast<size_t>(count));
      } else {
        close(streams_[i].fd);
        streams_[i].fd = -1;
      }
    }
    return true;
  }

  const int patience_ms_;
  pid_t pid_ = -1;
  std::array<Stream, 2> streams_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_PROCESS_TESTING_H_
