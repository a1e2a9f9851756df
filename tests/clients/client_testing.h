// For tests with programs of others: a folder for their files, finding and running them, an NBD server for them.
//
//   VMBUSKIT_NEEDS_PROGRAM("nbdinfo");                     // the test is skipped where it is not installed
//   NbdServerProcess server({"--ram=1048576"});
//   ASSERT_TRUE(server.serving()) << server.err();
//   const ProgramResult info = RunProgram({"nbdinfo", "--json", server.uri()});
//   EXPECT_EQ(info.code, 0) << info.err;
//
// Thread safety: none. Every wait has a deadline (process_testing.h).
#ifndef VMBUSKIT_TESTS_CLIENTS_CLIENT_TESTING_H_
#define VMBUSKIT_TESTS_CLIENTS_CLIENT_TESTING_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "platform/linux/stream_testing.h"
#include "tools/vmbus/process_testing.h"

namespace vmbuskit {

// Where a program is; empty when it is not installed.
inline std::string FindProgram(const std::string& name) {
  for (const char* folder : {"/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/", "/usr/local/bin/"}) {
    const std::string path = folder + name;
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

#define VMBUSKIT_NEEDS_PROGRAM(name) \
  if (::vmbuskit::FindProgram(name).empty()) GTEST_SKIP() << (name) << " is not installed"

struct ProgramResult {
  int code = 0;
  std::string out;
  std::string err;
};

// Programs that copy a large image say nothing for a while, on a machine that has other things to do.
inline constexpr int kClientPatienceMs = 280'000;

// The first argument is the program's name.
inline ProgramResult RunProgram(std::vector<std::string> arguments) {
  arguments.front() = FindProgram(arguments.front());
  ChildProcess child(arguments, kClientPatienceMs);
  const int code = child.Wait();
  return {code, child.out(), child.err()};
}

// A line of the shell.
inline ProgramResult RunShell(const std::string& line) { return RunProgram({"sh", "-c", line}); }

inline std::string Sha256Of(const std::string& path) {
  return RunProgram({"sha256sum", path}).out.substr(0, 64);
}

// A program below the folder of the test that was built with it.
inline std::string BuiltProgram(const std::string& path) {
  const char* const root = std::getenv("TEST_SRCDIR");
  const char* const workspace = std::getenv("TEST_WORKSPACE");
  if (root == nullptr || workspace == nullptr) return path;
  return std::string(root) + "/" + workspace + "/" + path;
}

// nbd_server_for_tests at a socket of its own.
class NbdServerProcess {
 public:
  // `options`: see nbd_server_main.cc. "FOLDER" in them is the folder of this server.
  explicit NbdServerProcess(const std::vector<std::string>& options)
      : process_(Arguments(options, folder_.path())) {
    serving_ = process_.WaitForOutput("serving\n");
  }

  bool serving() const { return serving_; }
  std::string socket() const { return folder_.path() + "/nbd.sock"; }
  std::string uri(const std::string& name = "disk") const {
    return "nbd+unix:///" + name + "?socket=" + socket();
  }
  const std::string& folder() const { return folder_.path(); }
  // The port of the TCP address that it was given.
  std::string port() const {
    const std::string& out = process_.out();
    for (size_t at = out.find("listening at "); at != out.npos;
         at = out.find("listening at ", at + 1)) {
      const std::string line = out.substr(at, out.find('\n', at) - at);
      if (line.find("unix:") == line.npos) return line.substr(line.rfind(':') + 1);
    }
    return "";
  }

  // Its exit code: 0 when all went well.
  int Stop() {
    process_.Signal(SIGTERM);
    return process_.Wait();
  }
  void Signal(int signal) { process_.Signal(signal); }
  const std::string& out() const { return process_.out(); }
  const std::string& err() const { return process_.err(); }

 private:
  static std::vector<std::string> Arguments(const std::vector<std::string>& options,
                                            const std::string& folder) {
    std::vector<std::string> arguments = {BuiltProgram("tests/clients/nbd_server_for_tests"),
                                          "--unix=" + folder + "/nbd.sock"};
    for (std::string option : options) {
      if (const size_t at = option.find("FOLDER"); at != option.npos) option.replace(at, 6, folder);
      arguments.push_back(option);
    }
    return arguments;
  }

  TemporaryFolder folder_;
  ChildProcess process_;
  bool serving_ = false;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_CLIENTS_CLIENT_TESTING_H_
