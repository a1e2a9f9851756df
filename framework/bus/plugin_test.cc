#include "framework/bus/plugin.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using testing::HasSubstr;

constexpr DeviceClass kClass{.name = "from a plugin", .class_ids = {}};
constexpr const DeviceClass* kClasses[] = {&kClass};

VmbuskitPlugin GoodPlugin() {
  VmbuskitPlugin plugin;
  plugin.device_classes = kClasses;
  plugin.device_class_count = 1;
  return plugin;
}

std::string Refusal(const VmbuskitPlugin* plugin) {
  const absl::Status status = CheckPlugin(plugin);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  return std::string(status.message());
}

TEST(PluginTest, OneThatFitsPasses) {
  const VmbuskitPlugin plugin = GoodPlugin();
  EXPECT_EQ(CheckPlugin(&plugin), absl::OkStatus());
  ASSERT_EQ(PluginDeviceClasses(plugin).size(), 1u);
  EXPECT_EQ(PluginDeviceClasses(plugin)[0]->name, "from a plugin");
}

TEST(PluginTest, HostClassesAloneAreEnough) {
  const void* const host_classes[] = {&kClass};
  VmbuskitPlugin plugin;
  plugin.host_classes = host_classes;
  plugin.host_class_count = 1;
  EXPECT_EQ(CheckPlugin(&plugin), absl::OkStatus());
  EXPECT_TRUE(PluginDeviceClasses(plugin).empty());
}

TEST(PluginTest, Null) {
  EXPECT_EQ(Refusal(nullptr), "the plugin's vmbuskit_plugin() returned null");
}

TEST(PluginTest, SomethingElse) {
  VmbuskitPlugin plugin = GoodPlugin();
  plugin.magic = 0x464c457f;
  EXPECT_EQ(Refusal(&plugin), "not a vmbuskit plugin: its magic is 0x464c457f, not 0x4b424d56");
}

TEST(PluginTest, TooOld) {
  VmbuskitPlugin plugin = GoodPlugin();
  plugin.abi_version = kPluginAbiVersion - 1;
  EXPECT_EQ(Refusal(&plugin),
            "the plugin is too old: it has ABI version 1, this program has 2; rebuild the plugin "
            "with this program's headers");
}

TEST(PluginTest, TooNew) {
  VmbuskitPlugin plugin = GoodPlugin();
  plugin.abi_version = kPluginAbiVersion + 1;
  EXPECT_EQ(Refusal(&plugin),
            "the plugin is too new: it has ABI version 3, this program has 2; rebuild the program "
            "with the plugin's version");
}

TEST(PluginTest, AnotherSize) {
  VmbuskitPlugin plugin = GoodPlugin();
  plugin.struct_bytes -= 8;
  EXPECT_THAT(Refusal(&plugin), HasSubstr("the plugin's descriptor has "));
}

TEST(PluginTest, AnotherCompiler) {
  VmbuskitPlugin plugin = GoodPlugin();
  plugin.tag = "itanium-abi-9 libc++ c++201703L ndebug";
  EXPECT_EQ(Refusal(&plugin),
            std::string("the plugin was built as \"itanium-abi-9 libc++ c++201703L ndebug\", this "
                        "program as \"") +
                kPluginTag + "\"; build both with the same compiler and options");
  plugin.tag = nullptr;
  EXPECT_THAT(Refusal(&plugin), HasSubstr("built as \"\""));
}

TEST(PluginTest, NoClassesOrNoList) {
  VmbuskitPlugin plugin = GoodPlugin();
  plugin.device_class_count = 0;
  EXPECT_EQ(Refusal(&plugin), "the plugin has no classes");
  plugin.host_class_count = 2;
  EXPECT_EQ(Refusal(&plugin), "the plugin counts classes but has no list of them");
}

TEST(PluginTest, TheTagSaysWhatMatters) {
  EXPECT_THAT(std::string(kPluginTag), testing::StartsWith("itanium-abi-10"));
  EXPECT_THAT(std::string(kPluginTag), HasSubstr("c++20"));
}

}  // namespace
}  // namespace vmbuskit
