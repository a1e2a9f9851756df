#include "tools/vmbus/machine_arguments.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kMemoryMin = uint64_t{16} << 20;
constexpr uint64_t kMemoryMax = uint64_t{1} << 40;

absl::StatusOr<Machine> ReadMachineFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    return absl::NotFoundError(absl::StrCat("machine file '", path, "' cannot be read"));
  }
  return ParseMachine(text.str(), path);
}

absl::Status TakeMemory(const std::string& text, Machine& machine) {
  const absl::StatusOr<uint64_t> bytes = ParseBytes(text);
  if (!bytes.ok()) return bytes.status();
  if (*bytes < kMemoryMin || *bytes > kMemoryMax) {
    return absl::InvalidArgumentError(absl::StrCat("memory is ", text, "; possible are 16M to 1T"));
  }
  machine.memory_bytes = *bytes;
  return absl::OkStatus();
}

ControllerSpec& ScsiController(Machine& machine) {
  const auto found =
      std::ranges::find(machine.controllers, ControllerSpec::Kind::kScsi, &ControllerSpec::kind);
  return found != machine.controllers.end() ? *found : machine.controllers.emplace_back();
}

}  // namespace

absl::StatusOr<Machine> MachineFromArguments(const MachineArguments& arguments) {
  absl::StatusOr<Machine> machine = Machine();
  if (!arguments.machine_file.empty()) machine = ReadMachineFile(arguments.machine_file);
  if (!machine.ok()) return machine;
  for (const std::string& argument : arguments.disks) {
    absl::StatusOr<DiskSpec> disk = ParseDisk(argument);
    if (!disk.ok()) return disk.status();
    ScsiController(*machine).disks.push_back(*std::move(disk));
  }
  for (const std::string& place : arguments.nbd) machine->nbd.listen.push_back(place);
  if (!arguments.tls_directory.empty()) machine->nbd.tls_directory = arguments.tls_directory;
  if (!arguments.memory.empty()) {
    VMBUSKIT_RETURN_IF_ERROR(TakeMemory(arguments.memory, *machine));
  }
  if (arguments.cpus != 0) machine->cpus = arguments.cpus;
  machine->poll = machine->poll || arguments.poll;
  VMBUSKIT_RETURN_IF_ERROR(CompleteMachine(*machine));
  if (std::ranges::all_of(machine->controllers,
                          [](const ControllerSpec& one) { return one.disks.empty(); })) {
    return absl::InvalidArgumentError("there is no disk; name one with --disk or in --machine");
  }
  return machine;
}

}  // namespace vmbuskit
