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
#include <vector>

#include "framework/bus/device_info.h"

namespace vmbuskit {

struct DeviceRow {
  std::string device_class;
  std::string instance;
  uint32_t relid = 0;
  std::string state;
  std::string versions;
  uint32_t channels = 0;
  std::vector<uint32_t> cpus;  // of the channels, primary first
  uint64_t packets_in = 0;
  uint64_t packets_out = 0;
  std::string status;  // why it is in this state; empty when there is nothing to say

  // Runs, has agreed on versions, and has had packets both ways.
  bool HasRun() const;
};

std::vector<DeviceRow> DeviceRows(std::span<const DeviceInfo> devices);

// A line of titles, a line per device (IN and OUT count packets), and below a line for each device
// whose state needs a word.
std::string DeviceTable(std::span<const DeviceRow> rows);

// What of the table changes only when something happens: all but the counters.
std::string DeviceGist(std::span<const DeviceRow> rows);

// Empty when every device that is there has run, and there is at least one; else which one has not,
// and what it lacks: "echo 6563686f-... has had no packet from the host (state running)".
std::string WhatHasNotRun(std::span<const DeviceRow> rows);

}  // namespace vmbuskit

#endif  // VMBUSKIT_PRODUCTS_DEVICE_TABLE_H_
