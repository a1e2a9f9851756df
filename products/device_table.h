// The devices of a system as people read them: one row each, in columns.
//
//   std::string text = DeviceTable(rows);
//
// Thread safety: plain values.
#ifndef VMBUSKIT_PRODUCTS_DEVICE_TABLE_H_
#define VMBUSKIT_PRODUCTS_DEVICE_TABLE_H_

#include <cstdint>
#include <span>
#include <string>

namespace vmbuskit {

struct DeviceRow {
  std::string device_class;
  std::string instance;
  uint32_t relid = 0;
  std::string state;
  std::string versions;
  uint32_t channels = 0;
  uint32_t cpu = 0;
  uint64_t packets_in = 0;
  uint64_t packets_out = 0;
  std::string error;  // why the device failed; empty otherwise

  // Runs, has agreed on versions, and has had packets both ways.
  bool HasRun() const;
};

// A line of titles, a line per device, and after it a line for each device that has an error.
std::string DeviceTable(std::span<const DeviceRow> rows);

// What of the table changes only when something happens: all but the counters.
std::string DeviceGist(std::span<const DeviceRow> rows);

// Empty when every device has run and there is at least one; else which one has not, and what it lacks:
// "echo 6563686f-...: no packets from the host yet (state Running)".
std::string WhatHasNotRun(std::span<const DeviceRow> rows);

}  // namespace vmbuskit

#endif  // VMBUSKIT_PRODUCTS_DEVICE_TABLE_H_
