// Opens a shared object and finds one function in it.
//
//   absl::StatusOr<void*> found = LoadPluginSymbol("./my_class.so", "vmbuskit_plugin");
//   auto entry = reinterpret_cast<VmbuskitPluginFunction>(*found);
//
// The shared object stays loaded until the process ends: what it gives away (classes, code) has no
// end either. Its initialisers run in the calling thread. A name without a slash means a file in
// the current folder, never one of the system's libraries.
// Thread safety: any thread. Errors: NotFound names the path, what the system said, and what to do.
#ifndef VMBUSKIT_PLATFORM_LINUX_PLUGIN_LOADER_H_
#define VMBUSKIT_PLATFORM_LINUX_PLUGIN_LOADER_H_

#include <string>

#include "absl/status/statusor.h"

namespace vmbuskit {

absl::StatusOr<void*> LoadPluginSymbol(const std::string& path, const std::string& symbol);

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_PLUGIN_LOADER_H_
