// The echo class, both sides, as a shared object:
//
//   vmbus demo --devices=heartbeat --plugin=bazel-bin/devices/echo/echo_plugin.so
#include "devices/echo/echo.h"
#include "devices/echo/host/echo_host.h"
#include "framework/bus/plugin.h"

extern "C" const vmbuskit::VmbuskitPlugin* vmbuskit_plugin() {
  static const vmbuskit::DeviceClass* const kClasses[] = {&vmbuskit::EchoClass()};
  static const void* const kHostClasses[] = {&vmbuskit::EchoVspClass()};
  static const vmbuskit::VmbuskitPlugin kPlugin = {.device_classes = kClasses,
                                                   .device_class_count = 1,
                                                   .host_classes = kHostClasses,
                                                   .host_class_count = 1};
  return &kPlugin;
}
