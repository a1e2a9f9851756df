// Writes captures in the pcapng format (version 1.0), which Wireshark and its tools read.
//
//   PcapngWriter writer(sink, {.application = "vmbus"});
//   absl::Status status = writer.Begin();
//   status = writer.Write({.timestamp_ns = 5, .outbound = true, .data = {header, payload}});
//
// One section, one interface named "vmbus", link type USER0 (147), nanosecond timestamps,
// everything little-endian.
// Thread safety: one owner at a time. Ownership: `sink` outlives the writer.
// Errors: those of the sink; after one the file is incomplete.
#ifndef VMBUSKIT_FRAMEWORK_OBSERVE_PCAPNG_H_
#define VMBUSKIT_FRAMEWORK_OBSERVE_PCAPNG_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace vmbuskit {

// Where bytes go: a file, a socket, a string.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual absl::Status Write(std::span<const std::byte> bytes) = 0;
};

class PcapngWriter {
 public:
  struct Options {
    std::string application;  // who wrote it; no option when empty
    uint32_t snap_bytes = 0;  // told to the reader; 0: no limit
  };

  PcapngWriter(ByteSink& sink, Options options) : sink_(sink), options_(std::move(options)) {}

  // Section header and interface description: once, first.
  absl::Status Begin();

  struct Record {
    uint64_t timestamp_ns = 0;
    bool outbound = false;
    uint32_t original_bytes = 0;  // before truncation
    uint64_t lost_before = 0;     // packets that are missing between the record before and this one
    std::span<const std::byte> data;
  };
  absl::Status Write(const Record& record);

 private:
  absl::Status Flush();

  ByteSink& sink_;
  const Options options_;
  std::vector<std::byte> block_;  // reused
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_OBSERVE_PCAPNG_H_
