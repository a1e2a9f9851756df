#include "products/device_table.h"

#include "products/text_table.h"

namespace vmbuskit {
namespace {

constexpr std::string_view kRunning = "Running";

}  // namespace

bool DeviceRow::HasRun() const {
  return state == kRunning && !versions.empty() && packets_in > 0 && packets_out > 0;
}

std::string DeviceTable(std::span<const DeviceRow> rows) {
  constexpr TextTable::Align kRight = TextTable::Align::kRight;
  TextTable table({{"CLASS"},
                   {"INSTANCE"},
                   {"RELID", kRight},
                   {"STATE"},
                   {"VERSIONS"},
                   {"CHANNELS", kRight},
                   {"CPU", kRight},
                   {"PACKETS IN", kRight},
                   {"PACKETS OUT", kRight}});
  for (const DeviceRow& row : rows) {
    table.AddRow({row.device_class, row.instance, std::to_string(row.relid), row.state,
                  row.versions.empty() ? "-" : row.versions, std::to_string(row.channels),
                  std::to_string(row.cpu), std::to_string(row.packets_in),
                  std::to_string(row.packets_out)});
  }
  std::string text = table.Render();
  for (const DeviceRow& row : rows) {
    if (row.error.empty()) continue;
    text += Printable(row.device_class) + " " + Printable(row.instance) + ": " +
            Printable(row.error) + "\n";
  }
  return text;
}

std::string DeviceGist(std::span<const DeviceRow> rows) {
  std::vector<DeviceRow> still(rows.begin(), rows.end());
  for (DeviceRow& row : still) {
    // That packets flow at all is news; how many is not.
    row.packets_in = row.packets_in > 0 ? 1 : 0;
    row.packets_out = row.packets_out > 0 ? 1 : 0;
  }
  return DeviceTable(still);
}

std::string WhatHasNotRun(std::span<const DeviceRow> rows) {
  if (rows.empty()) return "the host has offered no device";
  for (const DeviceRow& row : rows) {
    if (row.HasRun()) continue;
    std::string lacks = "is not running";
    if (row.state == kRunning) {
      lacks = row.versions.empty()  ? "has not agreed on a version"
              : row.packets_in == 0 ? "has had no packet from the host"
                                    : "has sent no packet";
    }
    return Printable(row.device_class) + " " + Printable(row.instance) + " " + lacks + " (state " +
           Printable(row.state) + (row.error.empty() ? "" : ": " + Printable(row.error)) + ")";
  }
  return {};
}

}  // namespace vmbuskit
