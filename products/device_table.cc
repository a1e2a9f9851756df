#include "products/device_table.h"

#include "products/text_table.h"

namespace vmbuskit {
namespace {

constexpr std::string_view kRunning = ToString(DeviceState::kRunning);
constexpr std::string_view kGone = ToString(DeviceState::kGone);

std::string Name(const DeviceRow& row) {
  return Printable(row.device_class.empty() ? "-" : row.device_class) + " " +
         Printable(row.instance);
}

std::string CpuList(const std::vector<uint32_t>& cpus) {
  std::string text;
  for (uint32_t cpu : cpus) text += (text.empty() ? "" : ",") + std::to_string(cpu);
  return text.empty() ? "-" : text;
}

}  // namespace

bool DeviceRow::HasRun() const {
  return state == kRunning && !versions.empty() && packets_in > 0 && packets_out > 0;
}

std::vector<DeviceRow> DeviceRows(std::span<const DeviceInfo> devices) {
  std::vector<DeviceRow> rows;
  for (const DeviceInfo& device : devices) {
    rows.push_back({.device_class = device.class_name,
                    .instance = device.instance_id.ToString(),
                    .relid = device.relid,
                    .state = std::string(ToString(device.state)),
                    .versions = device.versions,
                    .channels = device.channel_count,
                    .cpus = device.cpus,
                    .packets_in = device.packets_in,
                    .packets_out = device.packets_out,
                    .status = device.status});
  }
  return rows;
}

std::string DeviceTable(std::span<const DeviceRow> rows) {
  constexpr TextTable::Align kRight = TextTable::Align::kRight;
  // What changes comes first: a narrow terminal cuts what stays the same.
  TextTable table({{"CLASS"},
                   {"RELID", kRight},
                   {"STATE"},
                   {"CPU", kRight},
                   {"CHANNELS", kRight},
                   {"IN", kRight},
                   {"OUT", kRight},
                   {"VERSIONS"},
                   {"INSTANCE"}});
  for (const DeviceRow& row : rows) {
    table.AddRow({row.device_class.empty() ? "-" : row.device_class, std::to_string(row.relid),
                  row.state, CpuList(row.cpus), std::to_string(row.channels),
                  std::to_string(row.packets_in), std::to_string(row.packets_out),
                  row.versions.empty() ? "-" : row.versions, row.instance});
  }
  std::string text = table.Render();
  for (const DeviceRow& row : rows) {
    if (!row.status.empty()) text += Name(row) + ": " + Printable(row.status) + "\n";
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
  bool any = false;
  for (const DeviceRow& row : rows) {
    if (row.state == kGone) continue;
    any = true;
    if (row.HasRun()) continue;
    std::string lacks = "is not running";
    if (row.state == kRunning) {
      lacks = row.versions.empty()  ? "has not agreed on a version"
              : row.packets_in == 0 ? "has had no packet from the host"
                                    : "has sent no packet";
    }
    return Name(row) + " " + lacks + " (state " + Printable(row.state) +
           (row.status.empty() ? "" : ": " + Printable(row.status)) + ")";
  }
  return any ? "" : "the host has offered no device";
}

}  // namespace vmbuskit
