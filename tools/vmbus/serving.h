// Where disks are served, as people write it and as clients are told.
//
//   absl::StatusOr<StreamAddress> address = ParseListen("tcp:127.0.0.1:10809");
//   std::string uri = NbdUri(*address, /*tls=*/false, "disk0");        // "nbd://127.0.0.1:10809/disk0"
//   std::string text = ServingTable(disks);
//
// Thread safety: pure functions. Units: bytes. Errors: InvalidArgument names the value.
#ifndef VMBUSKIT_TOOLS_VMBUS_SERVING_H_
#define VMBUSKIT_TOOLS_VMBUS_SERVING_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/stream.h"

namespace vmbuskit {

// "unix:PATH", "tcp:HOST:PORT", "tcp:[::1]:PORT" or "tcp:PORT", which is on this machine only. Port 0: one that is
// free.
absl::StatusOr<StreamAddress> ParseListen(std::string_view text);

// As nbdinfo, nbdcopy, qemu-img and fio take it.
std::string NbdUri(const StreamAddress& address, bool tls, std::string_view name);

struct ServedDisk {
  std::string name;
  uint64_t bytes = 0;
  uint32_t block_bytes = 512;
  bool read_only = false;
  std::string source;
  std::vector<std::string> uris;
};

// "64M", "1536", "1.5G" where that is exact, else rounded down to three digits.
std::string SizeText(uint64_t bytes);
// A line for each disk and URI.
std::string ServingTable(std::span<const ServedDisk> disks);
// One line of JSON.
std::string ServingJson(const ServedDisk& disk);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TOOLS_VMBUS_SERVING_H_
