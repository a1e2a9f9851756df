// A device class from a shared object, through one version-checked entry point.
//
// The shared object defines (with the headers of the program that will load it, and the same
// compiler):
//
//   static const vmbuskit::DeviceClass* const kClasses[] = {&MyClass()};
//   extern "C" const vmbuskit::VmbuskitPlugin* vmbuskit_plugin() {
//     static const vmbuskit::VmbuskitPlugin plugin = {.device_classes = kClasses,
//                                                     .device_class_count = 1};
//     return &plugin;
//   }
//
// The program, after loading it (platform/linux/plugin_loader.h):
//
//   absl::Status status = CheckPlugin(plugin);
//   status = bus.RegisterClasses(PluginDeviceClasses(*plugin));
//
// Classes have C++ interfaces, so both must agree on every class layout: kPluginAbiVersion changes
// with any of them, and the tag names compiler, library and language mode.
// Thread safety: plain values and pure functions. Lifetime: a shared object stays loaded until the
// process ends, because its classes do.
// Errors: FailedPrecondition that says which side is older and what to do.
#ifndef VMBUSKIT_FRAMEWORK_BUS_PLUGIN_H_
#define VMBUSKIT_FRAMEWORK_BUS_PLUGIN_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "framework/bus/device.h"

namespace vmbuskit {

inline constexpr uint32_t kPluginMagic = 0x4b424d56;  // "VMBK"
inline constexpr uint32_t kPluginAbiVersion = 2;
inline constexpr char kPluginEntryPoint[] = "vmbuskit_plugin";

#define VMBUSKIT_PLUGIN_TEXT_(x) #x
#define VMBUSKIT_PLUGIN_TEXT(x) VMBUSKIT_PLUGIN_TEXT_(x)
#if defined(_GLIBCXX_USE_CXX11_ABI)
#define VMBUSKIT_PLUGIN_LIBRARY "libstdc++-cxx11-" VMBUSKIT_PLUGIN_TEXT(_GLIBCXX_USE_CXX11_ABI)
#else
#define VMBUSKIT_PLUGIN_LIBRARY "libc++"
#endif
#if defined(NDEBUG)
#define VMBUSKIT_PLUGIN_MODE "ndebug"
#else
#define VMBUSKIT_PLUGIN_MODE "debug"
#endif
// Layouts of the standard library, the language and (some of Abseil's) of assertions.
inline constexpr char kPluginTag[] = "itanium-abi-" VMBUSKIT_PLUGIN_TEXT(
    __GXX_ABI_VERSION) " " VMBUSKIT_PLUGIN_LIBRARY
                       " c++" VMBUSKIT_PLUGIN_TEXT(__cplusplus) " " VMBUSKIT_PLUGIN_MODE;

// The first four members stay where they are in every version.
struct VmbuskitPlugin {
  uint32_t magic = kPluginMagic;
  uint32_t abi_version = kPluginAbiVersion;
  uint32_t struct_bytes = sizeof(VmbuskitPlugin);
  const char* tag = kPluginTag;

  const DeviceClass* const* device_classes = nullptr;
  uint32_t device_class_count = 0;
  // VspClass values (transports/embedded_host/vsp.h), which this layer does not know.
  const void* const* host_classes = nullptr;
  uint32_t host_class_count = 0;
};

using VmbuskitPluginFunction = const VmbuskitPlugin* (*)();

absl::Status CheckPlugin(const VmbuskitPlugin* plugin);

// Of a plugin that passed the check.
inline std::span<const DeviceClass* const> PluginDeviceClasses(const VmbuskitPlugin& plugin) {
  return {plugin.device_classes, plugin.device_class_count};
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_PLUGIN_H_
