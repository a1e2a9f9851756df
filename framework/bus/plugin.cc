#include "framework/bus/plugin.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"

namespace vmbuskit {

absl::Status CheckPlugin(const VmbuskitPlugin* plugin) {
  if (plugin == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the plugin's ", kPluginEntryPoint, "() returned null"));
  }
  if (plugin->magic != kPluginMagic) {
    return absl::FailedPreconditionError(absl::StrCat("not a vmbuskit plugin: its magic is 0x",
                                                      absl::Hex(plugin->magic), ", not 0x",
                                                      absl::Hex(kPluginMagic)));
  }
  if (plugin->abi_version != kPluginAbiVersion) {
    const bool older = plugin->abi_version < kPluginAbiVersion;
    return absl::FailedPreconditionError(absl::StrCat(
        "the plugin is too ", older ? "old" : "new", ": it has ABI version ", plugin->abi_version,
        ", this program has ", kPluginAbiVersion, "; rebuild the ",
        older ? "plugin with this program's headers" : "program with the plugin's version"));
  }
  if (plugin->struct_bytes != sizeof(VmbuskitPlugin)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the plugin's descriptor has ", plugin->struct_bytes, " bytes, this program's ",
        sizeof(VmbuskitPlugin), "; rebuild the plugin with this program's headers"));
  }
  if (plugin->tag == nullptr || std::strcmp(plugin->tag, kPluginTag) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the plugin was built as \"", plugin->tag == nullptr ? "" : plugin->tag,
        "\", this program as \"", kPluginTag, "\"; build both with the same compiler and options"));
  }
  if ((plugin->device_class_count != 0 && plugin->device_classes == nullptr) ||
      (plugin->host_class_count != 0 && plugin->host_classes == nullptr)) {
    return absl::FailedPreconditionError("the plugin counts classes but has no list of them");
  }
  if (plugin->device_class_count == 0 && plugin->host_class_count == 0) {
    return absl::FailedPreconditionError("the plugin has no classes");
  }
  return absl::OkStatus();
}

}  // namespace vmbuskit
