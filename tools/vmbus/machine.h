// What `vmbus run` runs: disks on controllers and where they are exported, from a JSON machine file or from arguments.
//
//   absl::StatusOr<Machine> machine = ParseMachine(text, "machine.json");
//   absl::StatusOr<DiskSpec> disk = ParseDisk("disk.img,read-only,lun=3");      // --disk=...
//   absl::Status status = CompleteMachine(*machine);                            // LUNs and names for all
//
// The schema is in docs/run.md. Thread safety: pure functions. Units: bytes. Errors: InvalidArgument names the file,
// the place in it and the value; a member that nobody knows is an error too.
#ifndef VMBUSKIT_TOOLS_VMBUS_MACHINE_H_
#define VMBUSKIT_TOOLS_VMBUS_MACHINE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vmbuskit {

struct DiskSpec {
  enum class Kind { kFile, kRam, kNull, kNbd };

  Kind kind = Kind::kFile;
  std::string source;  // path or URI
  uint64_t bytes = 0;  // kRam, kNull
  bool read_only = false;
  bool direct = false;         // kFile: past the page cache
  bool threads = false;        // kFile: not through io_uring
  bool dvd = false;            // the medium of a DVD drive: read-only, in blocks of 2048
  uint32_t block_bytes = 512;  // 512 or 4096
  std::optional<uint32_t> lun;
  std::optional<std::string> export_name;

  // As people write it: "disk.img", "ram:64M".
  std::string Text() const;
};

struct ControllerSpec {
  enum class Kind { kScsi, kIde, kFibreChannel };

  Kind kind = Kind::kScsi;
  uint16_t max_version = 0;  // of storvsc: 0x0602; 0: the newest
  uint32_t subchannels = 0;  // at most offered; 0: none
  std::vector<DiskSpec> disks;
};

struct NbdSpec {
  std::vector<std::string> listen;  // "unix:PATH" or "tcp:HOST:PORT"
  std::string tls_directory;
  uint32_t connections_max = 64;
};

struct Machine {
  uint32_t cpus = 0;          // 0: by the CPUs there are
  bool poll = false;          // executors never sleep
  uint64_t memory_bytes = 0;  // of the guest; 0: the default
  std::vector<ControllerSpec> controllers;
  NbdSpec nbd;
};

inline constexpr uint32_t kLunsMax = 64;
inline constexpr uint32_t kControllersMax = 4;  // as Hyper-V has it

absl::StatusOr<Machine> ParseMachine(std::string_view json, std::string_view name);
// "disk.img", "file:PATH", "ram:SIZE", "null:SIZE" or "nbd:URI", then options behind commas.
absl::StatusOr<DiskSpec> ParseDisk(std::string_view argument);
// "512", "64K", "10M", "2G", "1T"; InvalidArgument for anything else and what does not fit.
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);

// Gives LUNs and export names to disks that have none: "disk0", "disk1", ...; errors for what is taken twice or cannot
// be.
absl::Status CompleteMachine(Machine& machine);

// What people should know of polling with so many virtual processors on so many CPUs; empty: nothing.
std::string PollingWarning(const Machine& machine, size_t vps, size_t cpus);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_MACHINE_H_
