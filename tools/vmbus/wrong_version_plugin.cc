// A plugin of another time, for tests: everything about it is right but its version.
#include "framework/bus/plugin.h"

extern "C" const vmbuskit::VmbuskitPlugin* vmbuskit_plugin() {
  static const vmbuskit::VmbuskitPlugin kPlugin = {.abi_version = vmbuskit::kPluginAbiVersion + 1};
  return &kPlugin;
}
