#include "tools/vmbus/control_messages.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"
#include "nlohmann/json.hpp"
#include "products/text_table.h"

namespace vmbuskit {
namespace {

using Json = nlohmann::ordered_json;

// Deeper nesting than this is not a tree of ours, and is refused before anything recurses over it.
constexpr int kDepthMax = 32;

// A parsed document; discarded when `text` is not JSON or nests too deep.
Json Parse(std::string_view text) {
  bool too_deep = false;
  const auto check_depth = [&too_deep](int depth, Json::parse_event_t, Json&) {
    too_deep |= depth > kDepthMax;
    return !too_deep;
  };
  Json document = Json::parse(text, check_depth, /*allow_exceptions=*/false);
  return too_deep ? Json(Json::value_t::discarded) : document;
}

// Bytes of a host that are not UTF-8 become U+FFFD.
std::string Dump(const Json& document, int indent = -1) {
  return document.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string StringAt(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

uint64_t NumberAt(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::vector<uint32_t> NumbersAt(const Json& object, const char* name) {
  std::vector<uint32_t> numbers;
  const auto found = object.find(name);
  if (found == object.end() || !found->is_array()) return numbers;
  for (const Json& number : *found) {
    if (number.is_number_unsigned()) numbers.push_back(number.get<uint32_t>());
  }
  return numbers;
}

// The member `name` of a response, unless the response is an error or malformed.
absl::StatusOr<Json> Result(std::string_view json, const char* name) {
  const Json response = Parse(json);
  if (!response.is_object()) return absl::DataLossError("the answer is not a JSON object");
  if (response.contains("error")) {
    return absl::FailedPreconditionError(Printable(StringAt(response, "error")));
  }
  if (!response.contains(name)) {
    return absl::DataLossError(absl::StrCat("the answer has no \"", name, "\""));
  }
  return response.at(name);
}

void AppendText(const Json& node, int depth, std::string& out) {
  for (const auto& [name, value] : node.items()) {
    out.append(2 * static_cast<size_t>(depth), ' ');
    out += Printable(name);
    if (value.is_object()) {
      out += '\n';
      AppendText(value, depth + 1, out);
    } else {
      out += ": " + Printable(value.is_string() ? value.get<std::string>() : Dump(value)) + "\n";
    }
  }
}

std::string NamesOfChildren(const InspectNode& node) {
  std::string names;
  for (const auto& [name, child] : node.children()) names += (names.empty() ? "" : ", ") + name;
  return names.empty() ? "no children" : names;
}

// The longest part of `path` that exists, and the node there.
std::pair<std::string_view, const InspectNode*> DeepestNode(const InspectNode& root,
                                                            std::string_view path) {
  while (true) {
    const size_t slash = path.rfind('/');
    path = path.substr(0, slash == std::string_view::npos ? 0 : slash);
    if (const InspectNode* node = root.Find(path)) return {path, node};
  }
}

}  // namespace

std::string EncodeRequest(const ControlRequest& request) {
  if (request.command == ControlRequest::Command::kList) return Dump({{"command", "ls"}});
  return Dump({{"command", "inspect"}, {"path", request.path}});
}

absl::StatusOr<ControlRequest> ParseRequest(std::string_view json) {
  const Json request = Parse(json);
  if (!request.is_object()) return absl::InvalidArgumentError("the request is not a JSON object");
  const std::string command = StringAt(request, "command");
  if (command == "ls") return ControlRequest{.command = ControlRequest::Command::kList, .path = {}};
  if (command == "inspect") {
    return ControlRequest{.command = ControlRequest::Command::kInspect,
                          .path = StringAt(request, "path")};
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown command '", Printable(command), "'; there are ls, inspect"));
}

std::string EncodeDevices(std::span<const DeviceRow> rows) {
  Json devices = Json::array();
  for (const DeviceRow& row : rows) {
    Json device = {{"class", row.device_class},
                   {"instance", row.instance},
                   {"relid", row.relid},
                   {"state", row.state},
                   {"versions", row.versions},
                   {"channels", row.channels},
                   {"cpus", row.cpus},
                   {"packets_in", row.packets_in},
                   {"packets_out", row.packets_out}};
    if (!row.status.empty()) device["status"] = row.status;
    devices.push_back(std::move(device));
  }
  return Dump({{"devices", std::move(devices)}});
}

std::string EncodeTree(const InspectNode& root, std::string_view path) {
  const size_t start = std::min(path.find_first_not_of('/'), path.size());
  path = path.substr(start, path.find_last_not_of('/') + 1 - start);
  if (const InspectNode* node = root.Find(path)) return "{\"tree\": " + node->ToJson() + "}";
  const auto [found, node] = DeepestNode(root, path);
  return EncodeError(absl::NotFoundError(
      absl::StrCat("there is no '", Printable(path), "'; ",
                   ToAbsl(found.empty() ? "the tree" : std::string_view(Printable(found))), " has ",
                   NamesOfChildren(*node))));
}

std::string EncodeError(const absl::Status& error) {
  return Dump({{"error", std::string(error.message())}});
}

absl::StatusOr<std::vector<DeviceRow>> ParseDevices(std::string_view json) {
  absl::StatusOr<Json> devices = Result(json, "devices");
  if (!devices.ok()) return devices.status();
  if (!devices->is_array()) return absl::DataLossError("\"devices\" is not an array");
  std::vector<DeviceRow> rows;
  for (const Json& device : *devices) {
    if (!device.is_object()) return absl::DataLossError("a device is not a JSON object");
    rows.push_back({.device_class = StringAt(device, "class"),
                    .instance = StringAt(device, "instance"),
                    .relid = static_cast<uint32_t>(NumberAt(device, "relid")),
                    .state = StringAt(device, "state"),
                    .versions = StringAt(device, "versions"),
                    .channels = static_cast<uint32_t>(NumberAt(device, "channels")),
                    .cpus = NumbersAt(device, "cpus"),
                    .packets_in = NumberAt(device, "packets_in"),
                    .packets_out = NumberAt(device, "packets_out"),
                    .status = StringAt(device, "status")});
  }
  return rows;
}

absl::StatusOr<Tree> ParseTree(std::string_view json) {
  absl::StatusOr<Json> tree = Result(json, "tree");
  if (!tree.ok()) return tree.status();
  if (!tree->is_object()) return absl::DataLossError("\"tree\" is not a JSON object");
  Tree result = {.json = Dump(*tree, 2) + "\n", .text = {}};
  AppendText(*tree, 0, result.text);
  return result;
}

}  // namespace vmbuskit
