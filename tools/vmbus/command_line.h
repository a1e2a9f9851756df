// The arguments of `vmbus`, parsed.
//
//   CommandLine line = ParseCommandLine(argc, argv);
//   if (const auto* demo = std::get_if<DemoCommand>(&line.command)) return RunDemo(*demo);
//   ...
//   PrintText(line.output), PrintError(line.error);      // help, version, or a mistake
//   return line.exit_code;
//
// What needs no more than the arguments is checked here: numbers, versions, files that exist. Names
// of classes are checked where the classes are known. Thread safety: none. Exceptions of the
// argument library end here.
#ifndef VMBUSKIT_TOOLS_VMBUS_COMMAND_LINE_H_
#define VMBUSKIT_TOOLS_VMBUS_COMMAND_LINE_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tools/vmbus/io_pattern.h"
#include "tools/vmbus/machine_arguments.h"

namespace vmbuskit {

// A wrong command line, or no running instance.
inline constexpr int kExitUsage = 2;

struct DemoCommand {
  bool once = false;
  bool json = false;
  uint32_t cpus = 0;                 // 0: by the CPUs there are
  std::vector<std::string> classes;  // empty: all
  std::vector<std::string> plugins;
  uint32_t max_version = 0;  // version word; 0: the newest
  std::chrono::seconds timeout{30};
};

struct RunCommand {
  MachineArguments machine;
  std::string host = "embedded";
  std::string chaos;  // empty: none
  bool json = false;
};

struct BenchCommand {
  MachineArguments machine;
  std::string path = "driver";  // or "backend"
  IoPattern::Kind kind = IoPattern::Kind::kRandomRead;
  uint32_t block_bytes = 4096;
  uint32_t depth = 1;
  uint32_t jobs = 1;
  std::chrono::seconds duration{10};
  bool prefill = false;
  bool json = false;
};

struct ListCommand {
  bool json = false;
  std::optional<int> pid;
};

struct InspectCommand {
  std::string path;
  bool json = false;
  std::optional<int> pid;
};

struct CommandLine {
  // Without a command: print and exit.
  std::variant<std::monostate, DemoCommand, RunCommand, BenchCommand, ListCommand, InspectCommand>
      command;
  int exit_code = 0;
  std::string output;  // for stdout
  std::string error;   // for stderr: one line
};

CommandLine ParseCommandLine(int argc, const char* const* argv);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_COMMAND_LINE_H_
