// The machine that the arguments of a command describe: a machine file, and what is said besides.
//
//   absl::StatusOr<Machine> machine = MachineFromArguments({.disks = {"disk.img,read-only"}, .nbd = {"unix:d.sock"}});
//
// Disks of the arguments go to the file's first SCSI controller, or to one of their own; places to listen at are added;
// what else is given replaces what the file says. Every disk has its LUN and its name afterwards.
// Thread safety: none needed; reads the file. Errors: InvalidArgument and NotFound name the argument or the file.
#ifndef VMBUSKIT_TOOLS_VMBUS_MACHINE_ARGUMENTS_H_
#define VMBUSKIT_TOOLS_VMBUS_MACHINE_ARGUMENTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/vmbus/machine.h"

namespace vmbuskit {

struct MachineArguments {
  std::string machine_file{};  // empty: none
  std::vector<std::string> disks{};
  std::vector<std::string> nbd{};
  std::string tls_directory{};
  std::string memory{};  // "1G"; empty: not given
  uint32_t cpus = 0;     // 0: not given
  bool poll = false;
};

absl::StatusOr<Machine> MachineFromArguments(const MachineArguments& arguments);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_MACHINE_ARGUMENTS_H_
