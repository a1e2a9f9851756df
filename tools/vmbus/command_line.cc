#include "tools/vmbus/command_line.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "CLI/CLI.hpp"
#include "transports/protocol/versions.h"

namespace vmbuskit {
namespace {

constexpr char kVersionLine[] = "vmbus 1.0.0 (vmbuskit)";
constexpr uint32_t kCpusMax = 64;
constexpr uint32_t kTimeoutMaxSeconds = 3600;
constexpr uint64_t kBenchBlockMax = uint64_t{64} << 20;
constexpr uint32_t kBenchDepthMax = 4096;
constexpr uint32_t kBenchJobsMax = 256;

constexpr char kAbout[] =
    "Hyper-V's synthetic devices in user space: a guest's bus with its drivers, and a software "
    "host for it.";
constexpr char kExamples[] =
    "Examples:\n"
    "  vmbus demo                    a guest and a host in one process, until Ctrl-C\n"
    "  vmbus demo --once             the same, until every device has run\n"
    "  vmbus run --disk=disk.img --nbd=unix:disk.sock\n"
    "                                an image as a guest sees it, for other programs\n"
    "  vmbus ls                      the devices of a running guest\n"
    "  vmbus inspect guest/devices   a part of its inspect tree";

std::string KnownVersions() {
  std::string text;
  for (uint32_t version : kVersionsNewestFirst) {
    text += (text.empty() ? "" : ", ") + VersionText(version);
  }
  return text;
}

// The version word of "5.2"; 0 when the project does not negotiate it.
uint32_t VersionWord(const std::string& text) {
  for (uint32_t version : kVersionsNewestFirst) {
    if (VersionText(version) == text) return version;
  }
  return 0;
}

std::string CheckVersion(const std::string& text) {
  if (VersionWord(text) != 0) return {};
  return "'" + text + "' is not a version of the bus; there are " + KnownVersions();
}

// The same check, without its wordy mark in the help text.
CLI::Validator Unmarked(CLI::Validator check) { return check.description(""); }

CLI::Validator Pid() { return Unmarked(CLI::Range(1, std::numeric_limits<int>::max())); }

// "a,b" as {"a", "b"}; an empty text has no names.
std::vector<std::string> SplitNames(const std::string& text) {
  std::vector<std::string> names;
  for (size_t start = 0; !text.empty() && start <= text.size();) {
    const size_t end = std::min(text.find(',', start), text.size());
    names.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return names;
}

struct Arguments {
  DemoCommand demo;
  RunCommand run;
  BenchCommand bench;
  std::string rw = "randread";
  std::string block_size = "4K";
  uint32_t bench_seconds = 10;
  std::string classes;
  std::string max_version;
  uint32_t timeout_seconds = 30;
  ListCommand list;
  InspectCommand inspect;
};

void AddDemo(CLI::App& app, Arguments& arguments) {
  DemoCommand& demo = arguments.demo;
  CLI::App* command = app.add_subcommand("demo", "run a guest and its host in this process");
  command->add_flag(
      "--once", demo.once,
      "exit 0 as soon as every device runs and has exchanged packets in both directions");
  command->add_flag("--json", demo.json, "print the devices as JSON, one line per change");
  command
      ->add_option("--cpus", demo.cpus,
                   "virtual processors of the guest (default: 1 or 2, by the CPUs there are)")
      ->check(Unmarked(CLI::Range(1u, kCpusMax)))
      ->type_name("N");
  command->add_option("--devices", arguments.classes, "only these built-in classes (default: all)")
      ->type_name("CLASS,...");
  command
      ->add_option("--plugin", demo.plugins,
                   "also the classes of this shared object; may be repeated")
      ->check(Unmarked(CLI::ExistingFile))
      ->allow_extra_args(false)
      ->type_name("PATH");
  command
      ->add_option("--max-version", arguments.max_version,
                   "newest version that the host accepts, such as 5.2")
      ->check(CheckVersion, "")
      ->type_name("VERSION");
  command
      ->add_option("--timeout", arguments.timeout_seconds,
                   "with --once: how long to wait, in seconds (default: 30)")
      ->check(Unmarked(CLI::Range(1u, kTimeoutMaxSeconds)))
      ->type_name("SECONDS");
}

// What describes a machine, for every command that has one.
void AddMachine(CLI::App& command, MachineArguments& machine) {
  command
      .add_option(
          "--disk", machine.disks,
          "a disk: IMAGE, ram:SIZE, null:SIZE or nbd:URI, then read-only, direct, threads, dvd, "
          "lun=N, block=512|4096, export=NAME behind commas; may be repeated")
      ->allow_extra_args(false)
      ->type_name("DISK[,OPTION]...");
  command
      .add_option("--machine", machine.machine_file,
                  "a JSON file with controllers, disks and where to serve them; see docs/run.md")
      ->check(Unmarked(CLI::ExistingFile))
      ->type_name("FILE");
  command
      .add_option("--cpus", machine.cpus,
                  "virtual processors of the guest (default: 1 or 2, by the CPUs there are)")
      ->check(Unmarked(CLI::Range(1u, kCpusMax)))
      ->type_name("N");
  command.add_flag("--poll", machine.poll, "busy-poll: fastest, and takes whole CPUs");
  command
      .add_option("--memory", machine.memory,
                  "of the guest, such as 512M (default: enough for NBD)")
      ->type_name("SIZE");
}

void AddRun(CLI::App& app, Arguments& arguments) {
  RunCommand& run = arguments.run;
  CLI::App* command =
      app.add_subcommand("run", "drive disks in a guest and serve them to other programs by NBD");
  command
      ->add_option("--host", run.host, "the host to run on; there is 'embedded', in this process")
      ->check(Unmarked(CLI::IsMember({"embedded"})))
      ->type_name("HOST");
  AddMachine(*command, run.machine);
  command
      ->add_option(
          "--nbd", run.machine.nbd,
          "where to serve the disks: unix:PATH, tcp:HOST:PORT or tcp:PORT; may be repeated")
      ->allow_extra_args(false)
      ->type_name("PLACE");
  command
      ->add_option(
          "--tls", run.machine.tls_directory,
          "a folder with server-cert.pem, server-key.pem and, to know clients, ca-cert.pem; "
          "needed for TCP beyond this machine")
      ->check(Unmarked(CLI::ExistingDirectory))
      ->type_name("FOLDER");
  command
      ->add_option("--chaos", run.chaos,
                   "for tests: take controllers (rescind:TIME) and disks (hotplug:TIME) away and "
                   "give them back, again and again")
      ->type_name("WHAT:TIME,...");
  command->add_flag("--json", run.json, "print what is served as JSON, one line per disk");
}

std::string CheckIoKind(const std::string& text) {
  if (ParseIoKind(text).has_value()) return {};
  return "'" + text + "' is not read, write, randread, randwrite or randrw";
}

std::string CheckBlockSize(const std::string& text) {
  const absl::StatusOr<uint64_t> bytes = ParseBytes(text);
  if (bytes.ok() && *bytes >= 512 && *bytes <= kBenchBlockMax && *bytes % 512 == 0) return {};
  return "'" + text + "' is not a multiple of 512 from 512 to 64M";
}

void AddBench(CLI::App& app, Arguments& arguments) {
  BenchCommand& bench = arguments.bench;
  CLI::App* group = app.add_subcommand("bench", "measure");
  group->require_subcommand(1);
  CLI::App* command = group->add_subcommand("disk", "put load on a disk and measure it");
  AddMachine(*command, bench.machine);
  command
      ->add_option("--path", bench.path,
                   "driver: through the guest's driver and its host (default); backend: what the "
                   "disk stands on, alone")
      ->check(Unmarked(CLI::IsMember({"driver", "backend"})))
      ->type_name("PATH");
  command
      ->add_option("--rw", arguments.rw,
                   "read, write, randread, randwrite or randrw (default: randread); writing "
                   "destroys what the disk has")
      ->check(CheckIoKind, "")
      ->type_name("KIND");
  command->add_option("--bs", arguments.block_size, "bytes of a request (default: 4K)")
      ->check(CheckBlockSize, "")
      ->type_name("SIZE");
  command->add_option("--depth", bench.depth, "requests at a time, of each job (default: 1)")
      ->check(Unmarked(CLI::Range(1u, kBenchDepthMax)))
      ->type_name("N");
  command->add_option("--jobs", bench.jobs, "loads at a time, spread over the CPUs (default: 1)")
      ->check(Unmarked(CLI::Range(1u, kBenchJobsMax)))
      ->type_name("N");
  command->add_option("--seconds", arguments.bench_seconds, "how long (default: 10)")
      ->check(Unmarked(CLI::Range(1u, kTimeoutMaxSeconds)))
      ->type_name("N");
  command->add_flag("--prefill", bench.prefill,
                    "write the whole disk once before, so that reads find data; destroys what the "
                    "disk has");
  command->add_flag("--json", bench.json, "print the figures as one line of JSON");
}

void AddPid(CLI::App& command, std::optional<int>& pid) {
  command.add_option("--pid", pid, "the process to ask, when several run")
      ->check(Pid())
      ->type_name("PID");
}

void AddClients(CLI::App& app, Arguments& arguments) {
  CLI::App* list =
      app.add_subcommand("ls", "list the devices of a running `vmbus demo` or `vmbus run`");
  list->add_flag("--json", arguments.list.json, "print JSON");
  AddPid(*list, arguments.list.pid);

  CLI::App* inspect = app.add_subcommand("inspect", "show the inspect tree of a running guest");
  inspect
      ->add_option("path", arguments.inspect.path,
                   "a node of the tree, such as guest/devices (default: all of it)")
      ->type_name("PATH");
  inspect->add_flag("--json", arguments.inspect.json, "print JSON");
  AddPid(*inspect, arguments.inspect.pid);
}

std::string OneLine(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

// The command whose arguments were being read: "vmbus demo".
std::string CommandName(const CLI::App& app) {
  const std::vector<CLI::App*> commands = app.get_subcommands();
  return app.get_name() + (commands.empty() ? "" : " " + commands.front()->get_name());
}

CommandLine Mistake(const CLI::App& app, const std::string& message) {
  const std::string name = CommandName(app);
  return {.command = {},
          .exit_code = kExitUsage,
          .output = {},
          .error = name + ": " + OneLine(message) + "; see " + name + " --help\n"};
}

CommandLine Result(const CLI::App& app, Arguments& arguments) {
  if (app.get_subcommands().empty())
    return Mistake(app, "which command? demo, run, bench, ls or inspect");
  CommandLine line;
  if (app.got_subcommand("demo")) {
    arguments.demo.classes = SplitNames(arguments.classes);
    arguments.demo.max_version = VersionWord(arguments.max_version);
    arguments.demo.timeout = std::chrono::seconds(arguments.timeout_seconds);
    line.command = std::move(arguments.demo);
  } else if (app.got_subcommand("run")) {
    line.command = std::move(arguments.run);
  } else if (app.got_subcommand("bench")) {
    arguments.bench.kind = *ParseIoKind(arguments.rw);
    arguments.bench.block_bytes = static_cast<uint32_t>(*ParseBytes(arguments.block_size));
    arguments.bench.duration = std::chrono::seconds(arguments.bench_seconds);
    line.command = std::move(arguments.bench);
  } else if (app.got_subcommand("ls")) {
    line.command = std::move(arguments.list);
  } else {
    line.command = std::move(arguments.inspect);
  }
  return line;
}

}  // namespace

CommandLine ParseCommandLine(int argc, const char* const* argv) {
  CLI::App app(kAbout, "vmbus");
  app.set_version_flag("--version", kVersionLine);
  app.footer(kExamples);
  app.require_subcommand(0, 1);
  Arguments arguments;
  AddDemo(app, arguments);
  AddRun(app, arguments);
  AddBench(app, arguments);
  AddClients(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return {.command = {}, .exit_code = 0, .output = app.help(), .error = {}};
  } catch (const CLI::CallForVersion&) {
    return {.command = {}, .exit_code = 0, .output = std::string(kVersionLine) + "\n", .error = {}};
  } catch (const CLI::ParseError& error) {
    return Mistake(app, error.what());
  }
  return Result(app, arguments);
}

}  // namespace vmbuskit
