#include "tools/vmbus/machine.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "framework/base/string_view.h"
#include "nlohmann/json.hpp"

namespace vmbuskit {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMinDiskBytes = 512;
constexpr uint64_t kMemoryMin = uint64_t{16} << 20;
constexpr uint64_t kMemoryMax = uint64_t{1} << 40;

template <typename... Parts>
absl::Status Wrong(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

// Reads the members of one JSON object; the first mistake stays.
class Members {
 public:
  Members(const Json& object, std::string place) : object_(object), place_(std::move(place)) {
    if (!object.is_object()) Fail(place_, " is not an object");
  }

  const Json* Find(const char* name) {
    known_.insert(name);
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  std::string PlaceOf(const char* name) const {
    return absl::StrCat(place_, place_.empty() ? "" : ".", name);
  }

  void Take(const char* name, bool& value) {
    const Json* member = Find(name);
    if (member == nullptr) return;
    if (!member->is_boolean())
      return Fail(PlaceOf(name), " is ", member->dump(), ", not true or false");
    value = member->get<bool>();
  }
  void Take(const char* name, std::string& value) {
    const Json* member = Find(name);
    if (member == nullptr) return;
    if (!member->is_string()) return Fail(PlaceOf(name), " is ", member->dump(), ", not a text");
    value = member->get<std::string>();
  }
  void Take(const char* name, uint32_t& value, uint32_t least, uint32_t most) {
    const Json* member = Find(name);
    if (member == nullptr) return;
    if (!member->is_number_unsigned() || member->get<uint64_t>() < least ||
        member->get<uint64_t>() > most) {
      return Fail(PlaceOf(name), " is ", member->dump(), ", not a number from ", least, " to ",
                  most);
    }
    value = static_cast<uint32_t>(member->get<uint64_t>());
  }
  void TakeBytes(const char* name, uint64_t& value) {
    const Json* member = Find(name);
    if (member == nullptr) return;
    if (member->is_number_unsigned()) {
      value = member->get<uint64_t>();
      return;
    }
    const absl::StatusOr<uint64_t> bytes = member->is_string()
                                               ? ParseBytes(member->get<std::string>())
                                               : absl::InvalidArgumentError("");
    if (!bytes.ok())
      return Fail(PlaceOf(name), " is ", member->dump(), ", not a size such as \"64M\"");
    value = *bytes;
  }

  // What was read must be all there is.
  absl::Status Finish() {
    if (!status_.ok() || !object_.is_object()) return status_;
    for (const auto& item : object_.items()) {
      if (!known_.contains(item.key())) {
        Fail(place_, place_.empty() ? "" : ".", item.key(), " is not a member that is known here");
      }
    }
    return status_;
  }
  template <typename... Parts>
  void Fail(const Parts&... parts) {
    if (status_.ok()) status_ = Wrong(parts...);
  }
  void Fail(const absl::Status& status) { status_.Update(status); }

 private:
  const Json& object_;
  const std::string place_;
  std::set<std::string> known_;
  absl::Status status_;
};

absl::Status TakeKind(Members& members, DiskSpec& disk) {
  int kinds = 0;
  const auto kind = [&](const char* name, DiskSpec::Kind is) {
    if (members.Find(name) == nullptr) return false;
    ++kinds;
    disk.kind = is;
    return true;
  };
  if (kind("file", DiskSpec::Kind::kFile)) members.Take("file", disk.source);
  if (kind("nbd", DiskSpec::Kind::kNbd)) members.Take("nbd", disk.source);
  if (kind("ram", DiskSpec::Kind::kRam)) members.TakeBytes("ram", disk.bytes);
  if (kind("null", DiskSpec::Kind::kNull)) members.TakeBytes("null", disk.bytes);
  return kinds == 1
             ? absl::OkStatus()
             : Wrong("one of file, ram, null and nbd says what the disk is; here are ", kinds);
}

absl::Status CheckDisk(const DiskSpec& disk, const std::string& place) {
  const bool sized = disk.kind == DiskSpec::Kind::kRam || disk.kind == DiskSpec::Kind::kNull;
  if (!sized && disk.source.empty()) return Wrong(place, ": its file or URI is empty");
  if (disk.block_bytes != 512 && disk.block_bytes != 4096) {
    return Wrong(place, ": block_size is ", disk.block_bytes, ", not 512 or 4096");
  }
  if (sized && (disk.bytes < kMinDiskBytes || disk.bytes % disk.block_bytes != 0)) {
    return Wrong(place, ": a disk of ", disk.bytes, " bytes; whole blocks of ", disk.block_bytes,
                 " are possible");
  }
  if (disk.lun && *disk.lun >= kLunsMax)
    return Wrong(place, ": lun is ", *disk.lun, ", at most ", kLunsMax - 1);
  if (disk.dvd && disk.block_bytes != 512) {
    return Wrong(place, ": the blocks of a DVD have 2048 bytes, whatever the image's have");
  }
  if ((disk.direct || disk.threads) && disk.kind != DiskSpec::Kind::kFile) {
    return Wrong(place, ": direct and threads are for files only");
  }
  return absl::OkStatus();
}

absl::StatusOr<DiskSpec> ReadDisk(const Json& json, const std::string& place) {
  DiskSpec disk;
  Members members(json, place);
  if (json.is_object()) {
    if (absl::Status status = TakeKind(members, disk); !status.ok())
      members.Fail(place, ": ", status.message());
  }
  members.Take("read_only", disk.read_only);
  members.Take("direct", disk.direct);
  members.Take("threads", disk.threads);
  members.Take("dvd", disk.dvd);
  disk.read_only = disk.read_only || disk.dvd;
  members.Take("block_size", disk.block_bytes, 512, 4096);
  if (members.Find("lun") != nullptr) {
    uint32_t lun = 0;
    members.Take("lun", lun, 0, kLunsMax - 1);
    disk.lun = lun;
  }
  if (members.Find("export") != nullptr) members.Take("export", disk.export_name.emplace());
  VMBUSKIT_RETURN_IF_ERROR(members.Finish());
  VMBUSKIT_RETURN_IF_ERROR(CheckDisk(disk, place));
  return disk;
}

// "6.2" as 0x0602.
absl::StatusOr<uint16_t> StorvscVersion(const std::string& text) {
  static constexpr std::pair<std::string_view, uint16_t> kKnown[] = {
      {"2.0", 0x0200}, {"4.2", 0x0402}, {"5.1", 0x0501}, {"6.0", 0x0600}, {"6.2", 0x0602}};
  for (const auto& [name, version] : kKnown) {
    if (name == text) return version;
  }
  return Wrong("there are 2.0, 4.2, 5.1, 6.0 and 6.2");
}

absl::Status TakeControllerType(Members& members, ControllerSpec& controller) {
  std::string type = "scsi", version;
  members.Take("type", type);
  members.Take("max_version", version);
  if (type != "scsi" && type != "ide" && type != "fc")
    return Wrong("type is '", type, "', not scsi, ide or fc");
  controller.kind = type == "scsi"  ? ControllerSpec::Kind::kScsi
                    : type == "ide" ? ControllerSpec::Kind::kIde
                                    : ControllerSpec::Kind::kFibreChannel;
  if (version.empty()) return absl::OkStatus();
  const absl::StatusOr<uint16_t> word = StorvscVersion(version);
  if (!word.ok()) return Wrong("max_version is '", version, "'; ", word.status().message());
  controller.max_version = *word;
  return absl::OkStatus();
}

absl::StatusOr<ControllerSpec> ReadController(const Json& json, const std::string& place) {
  ControllerSpec controller;
  Members members(json, place);
  if (absl::Status status = TakeControllerType(members, controller); !status.ok()) {
    members.Fail(place, ": ", status.message());
  }
  members.Take("subchannels", controller.subchannels, 0, 64);
  if (const Json* disks = members.Find("disks"); disks != nullptr) {
    if (!disks->is_array()) members.Fail(members.PlaceOf("disks"), " is not a list");
    for (size_t i = 0; disks->is_array() && i < disks->size(); ++i) {
      absl::StatusOr<DiskSpec> disk = ReadDisk((*disks)[i], absl::StrCat(place, ".disks[", i, "]"));
      if (!disk.ok()) return disk.status();
      controller.disks.push_back(*std::move(disk));
    }
  }
  VMBUSKIT_RETURN_IF_ERROR(members.Finish());
  return controller;
}

absl::Status ReadNbd(const Json& json, NbdSpec& nbd) {
  Members members(json, "nbd");
  members.Take("tls", nbd.tls_directory);
  members.Take("connections", nbd.connections_max, 1, 4096);
  if (const Json* listen = members.Find("listen"); listen != nullptr) {
    const std::vector<Json> places =
        listen->is_array() ? listen->get<std::vector<Json>>() : std::vector<Json>{*listen};
    for (const Json& place : places) {
      if (!place.is_string())
        return Wrong("nbd.listen has ", place.dump(), ", not \"unix:PATH\" or \"tcp:HOST:PORT\"");
      nbd.listen.push_back(place.get<std::string>());
    }
  }
  return members.Finish();
}

absl::StatusOr<Machine> ReadMachine(const Json& json) {
  Machine machine;
  Members members(json, "");
  members.Take("cpus", machine.cpus, 1, 64);
  members.Take("poll", machine.poll);
  members.TakeBytes("memory", machine.memory_bytes);
  if (machine.memory_bytes != 0 &&
      (machine.memory_bytes < kMemoryMin || machine.memory_bytes > kMemoryMax)) {
    members.Fail("memory is ", machine.memory_bytes, " bytes; possible are 16M to 1T");
  }
  if (const Json* controllers = members.Find("controllers"); controllers != nullptr) {
    if (!controllers->is_array()) members.Fail("controllers is not a list");
    for (size_t i = 0; controllers->is_array() && i < controllers->size(); ++i) {
      absl::StatusOr<ControllerSpec> one =
          ReadController((*controllers)[i], absl::StrCat("controllers[", i, "]"));
      if (!one.ok()) return one.status();
      machine.controllers.push_back(*std::move(one));
    }
  }
  if (const Json* nbd = members.Find("nbd"); nbd != nullptr)
    members.Fail(ReadNbd(*nbd, machine.nbd));
  VMBUSKIT_RETURN_IF_ERROR(members.Finish());
  return machine;
}

absl::Status TakeDiskOption(std::string_view option, DiskSpec& disk) {
  const size_t equals = option.find('=');
  const std::string_view name = option.substr(0, equals);
  const std::string_view value =
      equals == option.npos ? std::string_view{} : option.substr(equals + 1);
  const auto number = [&](uint32_t& into) {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), into);
    return error == std::errc() && end == value.data() + value.size();
  };
  uint32_t count = 0;
  if (option == "read-only" || option == "ro") {
    disk.read_only = true;
  } else if (option == "direct") {
    disk.direct = true;
  } else if (option == "threads") {
    disk.threads = true;
  } else if (option == "dvd") {
    disk.dvd = disk.read_only = true;
  } else if (name == "lun" && number(count)) {
    disk.lun = count;
  } else if (name == "block" && number(count)) {
    disk.block_bytes = count;
  } else if (name == "export" && equals != option.npos) {
    disk.export_name = value;
  } else {
    return Wrong("'", ToAbsl(option),
                 "' is not read-only, direct, threads, dvd, lun=N, block=512|4096 or export=NAME");
  }
  return absl::OkStatus();
}

absl::Status TakeDiskSource(std::string_view text, DiskSpec& disk) {
  const auto take = [&text](std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
  };
  const bool uri = text.starts_with("nbd://") || text.starts_with("nbd+unix://") ||
                   text.starts_with("nbds://") || text.starts_with("nbds+unix://");
  const bool ram = take("ram:");
  if (ram || take("null:")) {
    disk.kind = ram ? DiskSpec::Kind::kRam : DiskSpec::Kind::kNull;
    const absl::StatusOr<uint64_t> bytes = ParseBytes(text);
    if (!bytes.ok()) return bytes.status();
    disk.bytes = *bytes;
    return absl::OkStatus();
  }
  if (uri || take("nbd:")) {
    disk.kind = DiskSpec::Kind::kNbd;
  } else {
    (void)take("file:");
  }
  disk.source = text;
  return absl::OkStatus();
}

}  // namespace

std::string DiskSpec::Text() const {
  switch (kind) {
    case Kind::kFile:
      return source;
    case Kind::kRam:
      return absl::StrCat("ram:", bytes);
    case Kind::kNull:
      return absl::StrCat("null:", bytes);
    case Kind::kNbd:
      return source;
  }
  return source;
}

absl::StatusOr<Machine> ParseMachine(std::string_view text, std::string_view name) {
  const Json json =
      Json::parse(text, nullptr, /*allow_exceptions=*/false, /*ignore_comments=*/true);
  absl::StatusOr<Machine> machine =
      json.is_discarded() ? absl::StatusOr<Machine>(Wrong("is not JSON")) : ReadMachine(json);
  if (machine.ok()) return machine;
  return Wrong(ToAbsl(name), ": ", machine.status().message());
}

absl::StatusOr<DiskSpec> ParseDisk(std::string_view argument) {
  DiskSpec disk;
  const std::string place = absl::StrCat("disk '", ToAbsl(argument), "'");
  size_t end = argument.find(',');
  absl::Status status = TakeDiskSource(argument.substr(0, end), disk);
  while (status.ok() && end != argument.npos) {
    const size_t start = end + 1;
    end = argument.find(',', start);
    status = TakeDiskOption(argument.substr(start, end == argument.npos ? end : end - start), disk);
  }
  if (!status.ok()) return Wrong(place, ": ", status.message());
  VMBUSKIT_RETURN_IF_ERROR(CheckDisk(disk, place));
  return disk;
}

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  uint64_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  const std::string_view unit(end, static_cast<size_t>(last - end));
  constexpr std::string_view kUnits = "KMGT";
  const size_t power = unit.empty() ? 0 : kUnits.find(unit) + 1;
  if (error != std::errc() || power > kUnits.size() || (!unit.empty() && unit.size() != 1) ||
      (!unit.empty() && kUnits.find(unit) == kUnits.npos)) {
    return Wrong("'", ToAbsl(text), "' is not a size such as 512, 64K, 10M, 2G or 1T");
  }
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (value > kMost >> (10 * power)) return Wrong("'", ToAbsl(text), "' is too large");
  return value << (10 * power);
}

absl::Status CompleteMachine(Machine& machine) {
  if (machine.controllers.size() > kControllersMax) {
    return Wrong(machine.controllers.size(), " controllers, at most ", kControllersMax);
  }
  std::set<std::string> names;
  for (size_t c = 0; c < machine.controllers.size(); ++c) {
    ControllerSpec& controller = machine.controllers[c];
    if (controller.kind == ControllerSpec::Kind::kIde && controller.disks.size() > 1) {
      return Wrong("controller ", c, ": an IDE channel has one disk, here are ",
                   controller.disks.size());
    }
    std::set<uint32_t> luns;
    for (const DiskSpec& disk : controller.disks) {
      if (controller.kind == ControllerSpec::Kind::kIde && disk.lun.value_or(0) != 0) {
        return Wrong("controller ", c, ": the disk of an IDE channel is lun 0, not ", *disk.lun);
      }
      if (disk.lun && !luns.insert(*disk.lun).second)
        return Wrong("controller ", c, ": lun ", *disk.lun, " is taken twice");
      if (disk.export_name && !names.insert(*disk.export_name).second) {
        return Wrong("two disks are exported as '", *disk.export_name, "'");
      }
    }
    if (controller.disks.size() > kLunsMax) {
      return Wrong("controller ", c, ": ", controller.disks.size(), " disks, at most ", kLunsMax);
    }
    for (DiskSpec& disk : controller.disks) {
      for (uint32_t lun = 0; !disk.lun; ++lun) {
        if (luns.insert(lun).second) disk.lun = lun;
      }
    }
  }
  for (ControllerSpec& controller : machine.controllers) {
    for (DiskSpec& disk : controller.disks) {
      for (uint32_t number = 0; !disk.export_name; ++number) {
        const std::string name = absl::StrCat("disk", number);
        if (names.insert(name).second) disk.export_name = name;
      }
    }
  }
  return absl::OkStatus();
}

std::string PollingWarning(const Machine& machine, size_t vps, size_t cpus) {
  const size_t threads = vps + 1;
  if (!machine.poll || threads <= cpus) return {};
  return absl::StrCat(threads, " threads poll (the host and the virtual processors), but there ",
                      cpus == 1 ? "is " : "are ", cpus, cpus == 1 ? " CPU" : " CPUs",
                      " for them: they will stop each other for milliseconds");
}

}  // namespace vmbuskit
