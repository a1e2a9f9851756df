#include "tools/vmbus/serving.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"
#include "nlohmann/json.hpp"
#include "products/text_table.h"

namespace vmbuskit {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr std::string_view kTcp = "tcp:";
constexpr std::string_view kLoopback = "127.0.0.1";

absl::Status Wrong(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("'", ToAbsl(text), "': ", ToAbsl(why),
                                                 "; want unix:PATH, tcp:HOST:PORT or tcp:PORT"));
}

// What a URI cannot hold as it is becomes "%2F".
std::string Escaped(std::string_view text, std::string_view also) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : text) {
    if (kPlain.find(c) != kPlain.npos || also.find(c) != also.npos) {
      escaped += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    escaped += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return escaped;
}

}  // namespace

absl::StatusOr<StreamAddress> ParseListen(std::string_view text) {
  StreamAddress address;
  if (text.starts_with(kUnix)) {
    address.unix_path = text.substr(kUnix.size());
    if (address.unix_path.empty()) return Wrong(text, "the path is empty");
    return address;
  }
  if (!text.starts_with(kTcp)) return Wrong(text, "is neither unix: nor tcp:");
  const std::string_view place = text.substr(kTcp.size());
  const size_t colon = place.rfind(':');
  std::string_view host = colon == place.npos ? kLoopback : place.substr(0, colon);
  const std::string_view port = colon == place.npos ? place : place.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty()) return Wrong(text, "the host is empty");
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size()) {
    return Wrong(text, "the port is not a number up to 65535");
  }
  address.host = host;
  return address;
}

std::string NbdUri(const StreamAddress& address, bool tls, std::string_view name) {
  const char* const scheme = tls ? "nbds" : "nbd";
  const std::string path = Escaped(name, "");
  if (!address.unix_path.empty()) {
    return absl::StrCat(scheme, "+unix:///", path, "?socket=", Escaped(address.unix_path, "/"));
  }
  const bool bracketed = address.host.find(':') != std::string::npos;
  return absl::StrCat(scheme, "://", bracketed ? "[" : "", address.host, bracketed ? "]" : "", ":",
                      address.port, "/", path);
}

std::string SizeText(uint64_t bytes) {
  constexpr std::string_view kUnits = "KMGT";
  uint64_t unit = 1;
  size_t power = 0;
  while (power < kUnits.size() && bytes / unit >= 1024) {
    unit <<= 10;
    ++power;
  }
  std::string text = absl::StrCat(bytes / unit);
  const uint64_t hundredths = bytes % unit / (unit < 100 ? 1 : unit / 100);
  if (power != 0 && bytes % unit != 0) {
    absl::StrAppend(&text, ".", hundredths < 10 ? "0" : "", std::min<uint64_t>(hundredths, 99));
    if (text.ends_with('0')) text.pop_back();
  }
  if (power != 0) text += kUnits[power - 1];
  return text;
}

std::string ServingTable(std::span<const ServedDisk> disks) {
  TextTable table({{"DISK"},
                   {"SIZE", TextTable::Align::kRight},
                   {"BLOCK", TextTable::Align::kRight},
                   {"ACCESS"},
                   {"FROM"},
                   {"AT"}});
  for (const ServedDisk& disk : disks) {
    bool first = true;
    for (const std::string& uri : disk.uris) {
      if (first) {
        table.AddRow({disk.name, SizeText(disk.bytes), absl::StrCat(disk.block_bytes),
                      disk.read_only ? "read" : "read, write", disk.source, uri});
      } else {
        table.AddRow({"", "", "", "", "", uri});
      }
      first = false;
    }
  }
  return table.Render();
}

std::string ServingJson(const ServedDisk& disk) {
  const nlohmann::ordered_json json = {
      {"disk", disk.name},           {"bytes", disk.bytes}, {"block_size", disk.block_bytes},
      {"read_only", disk.read_only}, {"from", disk.source}, {"uris", disk.uris}};
  // Names may be any bytes.
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace vmbuskit
