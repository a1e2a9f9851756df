#include "platform/linux/plugin_loader.h"

#include <dlfcn.h>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

std::string LastError() {
  const char* const text = dlerror();
  return text != nullptr ? text : "unknown error";
}

}  // namespace

absl::StatusOr<void*> LoadPluginSymbol(const std::string& path, const std::string& symbol) {
  const std::string file = path.find('/') == std::string::npos ? absl::StrCat("./", path) : path;
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("cannot load plugin ", path, ": ", LastError(),
                     "; give the path of a shared object built for this machine and this program"));
  }
  void* const found = dlsym(library, symbol.c_str());
  if (found == nullptr) {
    const std::string reason = LastError();
    dlclose(library);
    return absl::NotFoundError(absl::StrCat("plugin ", path, " has no function ", symbol, "(): ",
                                            reason, "; define it as extern \"C\" in the plugin"));
  }
  return found;
}

}  // namespace vmbuskit
