// For tests of programs of others at a whole `vmbus run`: program -- NBD -- guest driver -- VMBus -- host -- image.
//
//   VmbusRun run({"--disk=FOLDER/a.img"});                  // FOLDER: a folder of its own; an NBD socket is in it
//   ASSERT_TRUE(run.serving()) << run.err();
//   ProgramResult info = RunProgram({"nbdinfo", run.Uri("disk0")});
//   EXPECT_EQ(run.Stop(), 0) << run.err();
//
// Thread safety: none. Every wait has a deadline (process_testing.h).
#ifndef VMBUSKIT_TESTS_CLIENTS_RUN_TESTING_H_
#define VMBUSKIT_TESTS_CLIENTS_RUN_TESTING_H_

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/clients/client_testing.h"

namespace vmbuskit {

// A fifth of the time under a sanitizer is what the full size takes without.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

// `bytes` of the same noise for the same seed, with holes: three MiB of four, some of which begin or end oddly.
inline void MakeImage(const std::string& path, uint64_t bytes, uint64_t seed = 1) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0) << path;
  ASSERT_EQ(ftruncate(fd, static_cast<off_t>(bytes)), 0);
  std::vector<uint64_t> words(kMiB / sizeof(uint64_t));
  uint64_t state = seed * 0x9E3779B97F4A7C15;
  const auto next = [&state] {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  };
  for (uint64_t at = 0; at < bytes; at += kMiB) {
    const uint64_t choice = next();
    if (choice % 4 != 0) continue;
    for (uint64_t& word : words) word = next();
    const size_t odd = choice / 4 % 2 == 0 ? 0 : choice / 8 % 5000;
    const size_t length = std::min(kMiB, bytes - at) - 2 * odd;
    ASSERT_EQ(pwrite(fd, words.data(), length, static_cast<off_t>(at + odd)),
              static_cast<ssize_t>(length));
  }
  close(fd);
}

inline void MakeSparseFile(const std::string& path, uint64_t bytes) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0) << path;
  EXPECT_EQ(ftruncate(fd, static_cast<off_t>(bytes)), 0);
  close(fd);
}

// A program that serves in the background: nbdkit at a socket of its own. Killed with the object.
class NbdkitProcess {
 public:
  explicit NbdkitProcess(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"nbdkit", "-U", socket(), "-P", folder_.path() + "/pid"});
    started_ = RunProgram(arguments);  // it goes into the background when it listens
  }
  ~NbdkitProcess() { RunShell("kill -9 $(cat " + folder_.path() + "/pid)"); }
  NbdkitProcess(const NbdkitProcess&) = delete;
  NbdkitProcess& operator=(const NbdkitProcess&) = delete;

  const ProgramResult& started() const { return started_; }
  std::string socket() const { return folder_.path() + "/s"; }
  std::string Uri() const { return "nbd+unix:///?socket=" + socket(); }

 private:
  TemporaryFolder folder_;
  ProgramResult started_;
};

class VmbusRun {
 public:
  // `wrapper`: what is to start it, such as a shell with a limit; it must become it (exec).
  explicit VmbusRun(const std::vector<std::string>& options,
                    const std::vector<std::string>& wrapper = {})
      : process_(Arguments(options, wrapper, folder_.path()), kClientPatienceMs) {
    serving_ = process_.WaitForOutput("\"uris\"") && process_.WaitForOutput("]}\n");
  }

  bool serving() const { return serving_; }
  const std::string& folder() const { return folder_.path(); }
  std::string socket() const { return folder_.path() + "/nbd.sock"; }
  std::string Uri(const std::string& name = "disk0") const {
    return "nbd+unix:///" + name + "?socket=" + socket();
  }
  // What it says about the first disk.
  nlohmann::json FirstDisk() const {
    return nlohmann::json::parse(out().substr(0, out().find('\n')), nullptr, false);
  }
  void Signal(int signal) { process_.Signal(signal); }
  int Wait() { return process_.Wait(); }
  // Its exit code: 0 when all went well.
  int Stop(int signal = SIGTERM) {
    Signal(signal);
    return Wait();
  }
  const std::string& out() const { return process_.out(); }
  const std::string& err() const { return process_.err(); }
  // The line that it ends with.
  static constexpr const char* kStopped =
      "vmbus run: stopped; 0 pages are still shared with the host\n";

  static std::vector<std::string> Arguments(const std::vector<std::string>& options,
                                            const std::vector<std::string>& wrapper,
                                            const std::string& folder) {
    setenv("XDG_RUNTIME_DIR", folder.c_str(), 1);
    std::vector<std::string> arguments = wrapper;
    arguments.insert(arguments.end(), {BuiltProgram("tools/vmbus"), "run", "--json",
                                       "--nbd=unix:" + folder + "/nbd.sock"});
    for (std::string option : options) {
      if (const size_t at = option.find("FOLDER"); at != option.npos) option.replace(at, 6, folder);
      arguments.push_back(option);
    }
    return arguments;
  }

 private:
  TemporaryFolder folder_;
  ChildProcess process_;
  bool serving_ = false;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_CLIENTS_RUN_TESTING_H_
